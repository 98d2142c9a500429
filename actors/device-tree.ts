/** The flattened device tree of the board, laid out and named as QEMU's `virt` machine has it. */

import { hex, splitMix64 } from '../machines/bits.ts';
import { InputError } from './input-error.ts';
import { flatten, type DeviceTreeNode, type DeviceTreeProperty } from './flattened-tree.ts';

/** The board as its device tree tells it. */
export interface BoardDescription {
  /** Bytes of RAM from 0x4000_0000. */
  readonly memoryBytes: number;
  /** 1 to 16. */
  readonly cpus: number;
  /** Whether the guest starts at EL2 (real or virtual): the GIC's maintenance interrupt is then described. */
  readonly el2: boolean;
  /** Whether there is an EL2 virtual timer (FEAT_VHE). */
  readonly vhe: boolean;
  /** Whether the vCPUs have a PMU that the guest can use. */
  readonly pmu?: boolean;
  /** The GIC architecture's version. Absent: 3. */
  readonly gic?: 2 | 3;
  /** How PSCI is called. KVM gives nested guests `smc`, since HVC belongs to virtual EL2. */
  readonly psci: 'smc' | 'hvc';
  readonly chosen: Chosen;
}

/** What the boot loader tells the kernel. */
export interface Chosen {
  readonly bootargs?: string;
  /** Physical addresses of the initial RAM disk's first byte and of the byte after its last. */
  readonly initrd?: { readonly from: number; readonly to: number };
  /** The world's seed: rng-seed and kaslr-seed are drawn from it. */
  readonly seed: bigint;
}

export const CPUS_MAX = 16;

/** QEMU hw/arm/virt.c, base_memmap: [address, bytes]. The redistributor region is QEMU's, room for 123 of them. */
export const VIRT_MAP = {
  flash: [0, 0x400_0000], // two banks of this size
  gicDistributor: [0x0800_0000, 0x1_0000],
  gicInterface: [0x0801_0000, 0x1_0000], // GICv2's, with what follows
  gicMessages: [0x0802_0000, 0x1000],
  gicHypervisor: [0x0803_0000, 0x1_0000],
  gicVirtual: [0x0804_0000, 0x1_0000],
  gicIts: [0x0808_0000, 0x2_0000],
  gicRedistributors: [0x080a_0000, 0xf6_0000],
  uart: [0x0900_0000, 0x1000],
  virtio: [0x0a00_0000, 32 * 0x200],
  pcieMemory: [0x1000_0000, 0x2eff_0000],
  pciePorts: [0x3eff_0000, 0x1_0000],
  pcieConfiguration: [0x40_1000_0000, 0x1000_0000],
  pcieHighMemory: [0x80_0000_0000, 0x80_0000_0000],
  rtc: [0x0901_0000, 0x1000],
  firmwareConfiguration: [0x0902_0000, 0x18],
  gpio: [0x0903_0000, 0x1000],
  ram: [0x4000_0000, 0],
} as const satisfies Readonly<Record<string, readonly [number, number]>>;

/** virtio-mmio transports: bytes apart, how many, and the first one's SPI. */
export const VIRTIO_STRIDE = 0x200, VIRTIO_SLOTS = 32, VIRTIO_SPI = 16;

/** The SPI of the PCI host bridge's first line; there are four. */
export const PCIE_SPI = 3;

/** The device tree blob of the board. Throws InputError for a number of vCPUs or a memory size that the board cannot have. */
export function deviceTree(board: BoardDescription): Uint8Array {
  return flatten(boardTree(board));
}

const GIC_PHANDLE = 1, CLOCK_PHANDLE = 2, MESSAGES_PHANDLE = 3, GPIO_PHANDLE = 0x20, FIRST_CPU_PHANDLE = 4;
const PPI = 1, SPI = 0, EDGE_RISING = 1, LEVEL_HIGH = 4;

/** The same as a tree. */
export function boardTree(board: BoardDescription): DeviceTreeNode {
  if (!Number.isInteger(board.cpus) || board.cpus < 1 || board.cpus > CPUS_MAX) throw new InputError(`--smp ${board.cpus}: this board has 1 to ${CPUS_MAX} vCPUs`);
  if (!Number.isInteger(board.memoryBytes) || board.memoryBytes < 4096 || board.memoryBytes % 4096 !== 0 || board.memoryBytes > 2 ** 40) throw new InputError(`--mem ${board.memoryBytes}: it must be a multiple of 4096 bytes, at most 2^40`);
  const cpu = [...Array(board.cpus).keys()];
  return node('', [
    cells('interrupt-parent', GIC_PHANDLE), flag('dma-coherent'), text('model', 'linux,dummy-virt'),
    cells('#size-cells', 2), cells('#address-cells', 2), text('compatible', 'linux,dummy-virt'),
  ], [
    node('psci', [
      // The function numbers are PSCI 0.1's way of telling them; later versions fix them. QEMU gives both.
      cells('migrate', 0xc400_0005), cells('cpu_on', 0xc400_0003), cells('cpu_off', 0x8400_0002), cells('cpu_suspend', 0xc400_0001),
      text('method', board.psci), text('compatible', 'arm,psci-1.0', 'arm,psci-0.2', 'arm,psci'),
    ]),
    node(`memory@${VIRT_MAP.ram[0].toString(16)}`, [wide('reg', VIRT_MAP.ram[0], board.memoryBytes), text('device_type', 'memory')]),
    node(`pl011@${VIRT_MAP.uart[0].toString(16)}`, [
      text('clock-names', 'uartclk', 'apb_pclk'), cells('clocks', CLOCK_PHANDLE, CLOCK_PHANDLE), cells('interrupts', SPI, 1, LEVEL_HIGH),
      wide('reg', ...VIRT_MAP.uart), text('compatible', 'arm,pl011', 'arm,primecell'),
    ]),
    ...Array.from({ length: VIRTIO_SLOTS }, (_, slot) => virtioSlot(slot)),
    pcieBridge(),
    node(`pl031@${VIRT_MAP.rtc[0].toString(16)}`, [
      text('clock-names', 'apb_pclk'), cells('clocks', CLOCK_PHANDLE), cells('interrupts', SPI, 2, LEVEL_HIGH), wide('reg', ...VIRT_MAP.rtc), text('compatible', 'arm,pl031', 'arm,primecell'),
    ]),
    node(`pl061@${VIRT_MAP.gpio[0].toString(16)}`, [
      cells('phandle', GPIO_PHANDLE), text('clock-names', 'apb_pclk'), cells('clocks', CLOCK_PHANDLE), cells('interrupts', SPI, 7, LEVEL_HIGH),
      flag('gpio-controller'), cells('#gpio-cells', 2), text('compatible', 'arm,pl061', 'arm,primecell'), wide('reg', ...VIRT_MAP.gpio),
    ]),
    // The button: Linux's KEY_POWER is 116.
    node('gpio-keys', [text('compatible', 'gpio-keys')], [
      node('poweroff', [cells('gpios', GPIO_PHANDLE, 3, 0), cells('linux,code', 116), text('label', 'GPIO Key Poweroff')]),
    ]),
    node(`fw-cfg@${VIRT_MAP.firmwareConfiguration[0].toString(16)}`, [flag('dma-coherent'), wide('reg', ...VIRT_MAP.firmwareConfiguration), text('compatible', 'qemu,fw-cfg-mmio')]),
    interruptController(board),
    node(`flash@${VIRT_MAP.flash[0].toString(16)}`, [
      cells('bank-width', 4), wide('reg', VIRT_MAP.flash[0], VIRT_MAP.flash[1], VIRT_MAP.flash[0] + VIRT_MAP.flash[1], VIRT_MAP.flash[1]), text('compatible', 'cfi-flash'),
    ]),
    node('cpus', [cells('#size-cells', 0), cells('#address-cells', 1)], [
      node('cpu-map', [], [node('socket0', [], [node('cluster0', [], cpu.map((index) => node(`core${index}`, [cells('cpu', FIRST_CPU_PHANDLE + index)])))])]),
      // `reg` is MPIDR_EL1's affinity: up to 16 PEs share Aff1 to Aff3 = 0 with GICv3.
      ...cpu.map((index) => node(`cpu@${index.toString(16)}`, [
        cells('phandle', FIRST_CPU_PHANDLE + index), cells('reg', index), ...(board.cpus > 1 ? [text('enable-method', 'psci')] : []),
        text('compatible', 'arm,armv8'), text('device_type', 'cpu'),
      ])),
    ]),
    node('timer', [
      // Secure EL1, EL1 physical, virtual, EL2 physical, EL2 virtual: PPIs 13, 14, 11, 10, 12.
      cells('interrupts', ...[13, 14, 11, 10, ...(board.vhe ? [12] : [])].flatMap((ppi) => [PPI, ppi, LEVEL_HIGH | ppiTargets(board)])),
      flag('always-on'), text('compatible', 'arm,armv8-timer', 'arm,armv7-timer'),
    ]),
    ...(board.pmu === true ? [node('pmu', [cells('interrupts', PPI, 7, LEVEL_HIGH | ppiTargets(board)), text('compatible', 'arm,armv8-pmuv3')])] : []),
    node('apb-pclk', [
      cells('phandle', CLOCK_PHANDLE), text('clock-output-names', 'clk24mhz'), cells('clock-frequency', 24_000_000), cells('#clock-cells', 0), text('compatible', 'fixed-clock'),
    ]),
    node('aliases', [text('serial0', UART_PATH)]),
    node('chosen', chosenProperties(board.chosen)),
  ]);
}

/** The distributor and what goes with it, and under it who takes message interrupts: the ITS, or with GICv2 its message frame. */
function interruptController(board: BoardDescription): DeviceTreeNode {
  const v2 = board.gic === 2;
  const regions = [
    VIRT_MAP.gicDistributor, ...(v2 ? [VIRT_MAP.gicInterface, ...(board.el2 ? [VIRT_MAP.gicHypervisor, VIRT_MAP.gicVirtual] : [])] : [VIRT_MAP.gicRedistributors]),
  ];
  return node(`intc@${VIRT_MAP.gicDistributor[0].toString(16)}`, [
    cells('phandle', GIC_PHANDLE), ...(board.el2 ? [cells('interrupts', PPI, 9, LEVEL_HIGH)] : []),
    wide('reg', ...regions.flat()), ...(v2 ? [] : [cells('#redistributor-regions', 1)]),
    text('compatible', v2 ? 'arm,cortex-a15-gic' : 'arm,gic-v3'), flag('ranges'), cells('#size-cells', 2), cells('#address-cells', 2),
    flag('interrupt-controller'), cells('#interrupt-cells', 3),
  ], [
    v2
      ? node(`v2m@${VIRT_MAP.gicMessages[0].toString(16)}`, [cells('phandle', MESSAGES_PHANDLE), wide('reg', ...VIRT_MAP.gicMessages), flag('msi-controller'), text('compatible', 'arm,gic-v2m-frame')])
      : node(`its@${VIRT_MAP.gicIts[0].toString(16)}`, [cells('phandle', MESSAGES_PHANDLE), wide('reg', ...VIRT_MAP.gicIts), cells('#msi-cells', 1), flag('msi-controller'), text('compatible', 'arm,gic-v3-its')]),
  ]);
}

/** GICv2's binding: the third cell of a PPI has the PEs that it is wired to in bits 15 to 8. */
const ppiTargets = ({ gic, cpus }: BoardDescription): number => (gic === 2 ? ((1 << cpus) - 1) << 8 : 0);

/** Every slot is described; one without a device says so itself. */
function virtioSlot(slot: number): DeviceTreeNode {
  const base = VIRT_MAP.virtio[0] + slot * VIRTIO_STRIDE;
  return node(`virtio_mmio@${base.toString(16)}`, [
    flag('dma-coherent'), cells('interrupts', SPI, VIRTIO_SPI + slot, EDGE_RISING), wide('reg', base, VIRTIO_STRIDE), text('compatible', 'virtio,mmio'),
  ]);
}

/** PCI Bus Binding to Open Firmware: addresses are a word that names the space, and two for the address in it. */
function pcieBridge(): DeviceTreeNode {
  const [ports, memory, highMemory] = [0x100_0000, 0x200_0000, 0x300_0000];
  const halves = (value: number): number[] => [Math.floor(value / 2 ** 32), value % 2 ** 32];
  const range = (space: number, to: readonly [number, number], from: number = to[0]): number[] => [space, ...halves(from), ...halves(to[0]), ...halves(to[1])];
  // Devices take turns with the four lines: device d's pin p is line (d + p) modulo 4, INTA being pin 1 and line 0 of device 0.
  const interrupts = [0, 1, 2, 3].flatMap((device) => [1, 2, 3, 4].flatMap((pin) => [device << 11, 0, 0, pin, GIC_PHANDLE, 0, 0, SPI, PCIE_SPI + ((device + pin - 1) % 4), LEVEL_HIGH]));
  return node(`pcie@${VIRT_MAP.pcieMemory[0].toString(16)}`, [
    cells('interrupt-map-mask', 0x1800, 0, 0, 7), cells('interrupt-map', ...interrupts), cells('#interrupt-cells', 1),
    cells('ranges', ...range(ports, VIRT_MAP.pciePorts, 0), ...range(memory, VIRT_MAP.pcieMemory), ...range(highMemory, VIRT_MAP.pcieHighMemory)),
    wide('reg', ...VIRT_MAP.pcieConfiguration),
    // Every function's messages go to the ITS under its own number; the message frame asks for no number.
    cells('msi-map', 0, MESSAGES_PHANDLE, 0, 0x1_0000),
    flag('dma-coherent'), cells('bus-range', 0, 0xff), cells('linux,pci-domain', 0), cells('#size-cells', 2), cells('#address-cells', 3),
    text('device_type', 'pci'), text('compatible', 'pci-host-ecam-generic'),
  ]);
}

const UART_PATH = `/pl011@${VIRT_MAP.uart[0].toString(16)}`;

function chosenProperties(chosen: Chosen): DeviceTreeProperty[] {
  const words = seedWords(chosen.seed, 5);
  return [
    ...(chosen.initrd ? [wide('linux,initrd-end', chosen.initrd.to), wide('linux,initrd-start', chosen.initrd.from)] : []),
    ...(chosen.bootargs === undefined ? [] : [text('bootargs', chosen.bootargs)]),
    text('stdout-path', UART_PATH), bigEndian('rng-seed', words.slice(0, 4)), bigEndian('kaslr-seed', words.slice(4)),
  ];
}

/** A device tree that the user gave, with the boot loader's words in its /chosen; what it had there stays where `chosen` says nothing, its stdout-path in any case. */
export function withChosen(root: DeviceTreeNode, chosen: Chosen): DeviceTreeNode {
  const fresh = chosenProperties(chosen);
  const existing = root.children.find((child) => child.name === 'chosen');
  if (existing === undefined) return { ...root, children: [...root.children, node('chosen', fresh.filter((property) => property.name !== 'stdout-path'))] };
  const replaced = fresh.filter((property) => property.name !== 'stdout-path');
  const kept = existing.properties.filter((property) => !replaced.some((other) => other.name === property.name));
  return { ...root, children: root.children.map((child) => (child === existing ? { ...existing, properties: [...replaced, ...kept] } : child)) };
}

/** `count` 64-bit words from `seed`. */
function seedWords(seed: bigint, count: number): bigint[] {
  let state = BigInt.asUintN(64, seed);
  return Array.from({ length: count }, () => {
    const next = splitMix64(state);
    state = next.state;
    return next.word;
  });
}

const node = (name: string, properties: readonly DeviceTreeProperty[], children: readonly DeviceTreeNode[] = []): DeviceTreeNode => ({ name, properties, children });
const flag = (name: string): DeviceTreeProperty => ({ name, value: new Uint8Array(0) });

/** 32-bit cells. */
function cells(name: string, ...values: readonly number[]): DeviceTreeProperty {
  const value = new Uint8Array(values.length * 4);
  const view = new DataView(value.buffer);
  for (const [index, cell] of values.entries()) view.setUint32(index * 4, cell);
  return { name, value };
}

/** Numbers below 2^53 as two cells each. */
const wide = (name: string, ...values: readonly number[]): DeviceTreeProperty => bigEndian(name, values.map(BigInt));

function bigEndian(name: string, values: readonly bigint[]): DeviceTreeProperty {
  const value = new Uint8Array(values.length * 8);
  const view = new DataView(value.buffer);
  for (const [index, word] of values.entries()) view.setBigUint64(index * 8, word);
  return { name, value };
}

/** A list of strings in UTF-8, each zero-terminated. Throws InputError for a zero inside one (--append is the user's). */
function text(name: string, ...values: readonly string[]): DeviceTreeProperty {
  for (const value of values) if (value.includes('\0')) throw new InputError(`the text for ${name} has a zero byte at character ${hex(value.indexOf('\0'))}; a device tree string cannot`);
  return { name, value: new TextEncoder().encode(`${values.join('\0')}\0`) };
}
