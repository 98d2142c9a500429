/** The state of a virtio device: what it is, what the driver has set up, its queues, and where its interrupt goes. Virtio 1.2. */

export const Feature = { INDIRECT_DESC: 1n << 28n, EVENT_IDX: 1n << 29n, VERSION_1: 1n << 32n } as const;

/** Bits of the device status. */
export const Status = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FEATURES_OK: 8, NEEDS_RESET: 64, FAILED: 128 } as const;

/** Bits of the interrupt status: used buffers, a changed configuration. */
export const Interrupt = { QUEUE: 1, CONFIGURATION: 2 } as const;

export interface QueueState {
  /** As many descriptors. */
  size: number;
  ready: boolean;
  /** Physical addresses of descriptors, available ring and used ring. */
  descriptors: number;
  available: number;
  used: number;
  /** Available chains taken so far, and chains given back so far: 16 bits, as the rings count them. */
  taken: number;
  usedIndex: number;
}

/** What a device is and holds besides its queues. */
export type DeviceState = BlockState | RngState | ConsoleState | NetState;

export interface BlockState {
  readonly kind: 'block';
  /** Which of the machine's disks. */
  readonly disk: number;
  readonly sectors: number;
  readonly readOnly: boolean;
  /** The driver may turn the cache off, which changes nothing: what is written is state at once. */
  writeback: boolean;
}

export interface RngState {
  readonly kind: 'rng';
  readonly seed: number;
  /** 64-bit words drawn so far. */
  drawn: number;
}

export interface ConsoleState {
  readonly kind: 'console';
  readonly ports: ConsolePort[];
  /** Control messages that the driver has not taken yet. */
  control: { readonly port: number; readonly event: number; readonly value: number; readonly text: string }[];
}

export interface ConsolePort {
  /** Empty: the console. */
  readonly name: string;
  /** Somebody in the guest has it open. */
  open: boolean;
  /** Bytes that the driver has not taken yet. */
  input: number[];
}

export interface NetState {
  readonly kind: 'net';
  readonly mac: readonly number[];
  /** Frames that the driver has not taken yet, as bytes. */
  backlog: number[][];
}

export interface VirtioState {
  /** The number of this actor. */
  readonly index: number;
  readonly transport: Transport;
  readonly device: DeviceState;
  status: number;
  deviceFeaturesSelect: number;
  driverFeaturesSelect: number;
  driverFeatures: bigint;
  queueSelect: number;
  queues: QueueState[];
  interruptStatus: number;
  configGeneration: number;
}

/** How the driver reaches the device, and its interrupts the driver. */
export type Transport = MmioTransport | PciTransport;

export interface MmioTransport {
  readonly kind: 'mmio';
  /** An SPI. */
  readonly intid: number;
  /** The line as the distributor was last told. */
  line: boolean;
}

export interface PciTransport {
  readonly kind: 'pci';
  /** How many message interrupts it has. */
  readonly vectors: number;
  /** The vectors that the driver chose, or NO_VECTOR. */
  configurationVector: number;
  queueVectors: number[];
  /** INTA as the host bridge was last told. */
  line: boolean;
  /** The driver lets it reach memory. */
  busMaster: boolean;
}

export const NO_VECTOR = 0xffff;

/** Descriptors that a queue can have. */
export const QUEUE_SIZE_MAX = 1024;

const emptyQueue = (): QueueState => ({ size: QUEUE_SIZE_MAX, ready: false, descriptors: 0, available: 0, used: 0, taken: 0, usedIndex: 0 });
export const emptyQueues = (count: number): QueueState[] => Array.from({ length: count }, emptyQueue);

export const initialVirtio = (index: number, transport: Transport, device: DeviceState, queues: number): VirtioState => ({
  index, transport, device, status: 0, deviceFeaturesSelect: 0, driverFeaturesSelect: 0, driverFeatures: 0n, queueSelect: 0, queues: emptyQueues(queues), interruptStatus: 0, configGeneration: 0,
});

export const mmioTransport = (intid: number): MmioTransport => ({ kind: 'mmio', intid, line: false });
/** A vector for each queue, and one for the configuration. */
export const pciTransport = (queues: number): PciTransport => ({ kind: 'pci', vectors: queues + 1, configurationVector: NO_VECTOR, queueVectors: Array.from({ length: queues }, () => NO_VECTOR), line: false, busMaster: false });

/** Sentences about what does not hold, none when all is well. */
export function virtioFaults({ queues, transport, interruptStatus }: VirtioState): string[] {
  const faults: string[] = [];
  for (const [index, queue] of queues.entries()) {
    if (((queue.taken - queue.usedIndex) & 0xffff) > queue.size) faults.push(`queue ${index} of ${queue.size} gave ${queue.usedIndex} chains back and took ${queue.taken}`);
  }
  if (transport.line !== (interruptStatus !== 0)) faults.push(`the line is ${transport.line ? 'high' : 'low'} with interrupt status ${interruptStatus}`);
  return faults;
}
