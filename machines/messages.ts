/** What actors say to each other: one union a receiver. Machines never import each other; they meet here. */

export type VcpuAddress = `vcpu:${number}`;
export type KvmAddress = `kvm:${number}`;
export type VgicAddress = `vgic:${number}`;
export type TimerAddress = `timer:${number}`;
export type RedistributorAddress = `gicr:${number}`;
/** A virtio device. The number is its own: which transport it sits behind is in its state. */
export type VirtioAddress = `virtio:${number}`;
/** A bank of flash, by its number. */
export type FlashAddress = `flash:${number}`;
/** Every actor's address. A number after the colon is the vCPU's index, unless it says otherwise. */
export type Address = VcpuAddress | KvmAddress | VgicAddress | TimerAddress | RedistributorAddress | VirtioAddress | FlashAddress
  | 'gicd' | 'its' | 'v2m' | 'mmu' | 'uart' | 'rtc' | 'gpio' | 'fw-cfg' | 'virtio-empty' | 'pcie' | 'psci' | 'lan';

/** A load or store that reaches a device. `offset` is from the device's base; `bytes` is 1, 2, 4 or 8. */
export interface DeviceRead {
  readonly type: 'read'; readonly from: VcpuAddress | KvmAddress; readonly offset: number; readonly bytes: number;
  /** Where the vCPU read: it finds the answer by it when the instruction runs again. */
  readonly pa?: number;
}
export interface DeviceWrite { readonly type: 'write'; readonly from: VcpuAddress | KvmAddress; readonly offset: number; readonly bytes: number; readonly value: bigint }
/** The answer to a DeviceRead. `offset` and `bytes` repeat the question's. */
export interface DeviceReply { readonly type: 'device-reply'; readonly offset: number; readonly bytes: number; readonly value: bigint }

/** An interrupt that its redistributor offers to one PE: enabled in its group, and pending or active. */
export interface OfferedInterrupt {
  readonly intid: number;
  readonly priority: number;
  /** 1: Group 1. 0: Group 0. */
  readonly group: 0 | 1;
  readonly pending: boolean;
  readonly active: boolean;
  /** Level-sensitive (true) or edge-triggered. */
  readonly level: boolean;
  /** GICv2: the PE that sent an SGI which pends. */
  readonly source?: number;
}

/** What a redistributor tells its PE's CPU interface (vcpu:n on a bare board, vgic:n under L0) whenever it changes: highest priority first, lowest INTID first among equals. */
export interface Offer {
  readonly type: 'offer';
  readonly interrupts: readonly OfferedInterrupt[];
  /** Acknowledgements and releases of LPIs that the redistributor has heard of, since they have no active state that would show it; absent: none. */
  readonly lpisTaken?: number;
}

/** What a CPU interface tells the GIC. */
export type CpuInterfaceMessage =
  /** The interrupt was taken: pending to active (a level that is still high stays pending as well). `source`: which PE's SGI, where it is not PE 0's. */
  | { readonly type: 'acknowledge'; readonly intid: number; readonly source?: number }
  /** An acknowledgement is taken back: the interrupt was not delivered after all, and pends again (Arm IHI 0069, A.4, the Release command). */
  | { readonly type: 'release'; readonly intid: number }
  | { readonly type: 'deactivate'; readonly intid: number };

/** ICC_SGIxR_EL1 was written. `targets` are vCPU indices in ascending order. */
export interface SgiRequest { readonly type: 'sgi'; readonly intid: number; readonly group: 0 | 1; readonly targets: readonly number[] }
/** A device or timer drives an interrupt line. */
export interface IrqLine { readonly type: 'irq-line'; readonly intid: number; readonly level: boolean }
export interface Alarm { readonly type: 'alarm'; readonly name: string }

/** The distributor: GICD registers, SPIs. SGIs and SPIs go on to the redistributors. */
export type DistributorMessage = DeviceRead | DeviceWrite | IrqLine | SgiRequest | ({ readonly vcpu: number } & CpuInterfaceMessage);
/** A redistributor: GICR registers, SGIs and PPIs of one PE; it merges in the SPIs that the distributor routes to it and makes the offer. */
export type RedistributorMessage =
  | DeviceRead | DeviceWrite | IrqLine | CpuInterfaceMessage | LpiMessage
  /** `group` 0: only if the SGI is in Group 0. `source`: GICv2's sender. */
  | { readonly type: 'sgi-pending'; readonly intid: number; readonly group?: 0 | 1; readonly source?: number }
  /** The distributor's SPIs routed to this PE that are enabled, and pending or active; complete list, and which groups GICD_CTLR enables. */
  | { readonly type: 'spis'; readonly interrupts: readonly OfferedInterrupt[]; readonly groupsEnabled: readonly [boolean, boolean] };

/** A message-signalled interrupt of a device that masters the bus: it wrote `eventId` to GITS_TRANSLATER, or to the message frame. A PCI function's `deviceId` is its bus, device and function number. */
export interface Msi { readonly type: 'msi'; readonly deviceId: number; readonly eventId: number }
export type ItsMessage = DeviceRead | DeviceWrite | Msi;
/** GICv2's message frame: `eventId` is the INTID of an SPI. */
export type MessageFrameMessage = DeviceRead | DeviceWrite | Msi;

/** What the ITS wants of a redistributor. `intid` is an LPI's, 8192 and above; undefined: of all that there are. */
export type LpiMessage =
  | { readonly type: 'lpi'; readonly intid: number; readonly pending: boolean }
  /** Its configuration may have changed in memory. */
  | { readonly type: 'lpi-invalidate'; readonly intid: number | undefined }
  /** It belongs to another PE from here on: if it pends, then there. */
  | { readonly type: 'lpi-move'; readonly intid: number | undefined; readonly to: RedistributorAddress };

export type VcpuMessage =
  | DeviceReply | Offer
  /** GICv2: its own access to the memory-mapped CPU interface. */
  | DeviceRead | DeviceWrite
  /** PSCI CPU_ON or reset: start at `entry` with `context` in X0, in the highest exception level that the board gives guests. */
  | { readonly type: 'start'; readonly entry: bigint; readonly context: bigint }
  | { readonly type: 'stop' }
  /** The firmware's answer to an SMC, for X0, and what there is for X1 and up. */
  | { readonly type: 'firmware-reply'; readonly value: bigint; readonly more: readonly bigint[] };

export type UartMessage = DeviceRead | DeviceWrite | Alarm
  /** Bytes typed at the console. */
  | { readonly type: 'input'; readonly bytes: readonly number[] };

/** The Ethernet segment, which is no machine's: what is sent there reaches the other machines of the World within the step. */
export type LanMessage = Frame;
/** An Ethernet frame, without its check sequence. It is not changed any more. */
export interface Frame { readonly type: 'frame'; readonly bytes: Uint8Array }

export type VirtioMessage = DeviceRead | DeviceWrite
  /** A frame from the segment arrives at a network device. */
  | Frame
  /** Bytes typed at port `port` of a console. */
  | { readonly type: 'input'; readonly port: number; readonly bytes: readonly number[] }
  /** Its PCI function may reach memory from now on, or no more. */
  | { readonly type: 'bus-master'; readonly on: boolean };

/** The PCI Express host bridge. Offsets of reads and writes are physical addresses. */
export type PcieMessage = DeviceRead | DeviceWrite
  /** INTA of the function before `virtio:device`. */
  | { readonly type: 'intx'; readonly device: number; readonly level: boolean }
  /** Its message interrupt `vector`. */
  | { readonly type: 'vector'; readonly device: number; readonly vector: number };

export type RtcMessage = DeviceRead | DeviceWrite | Alarm;
export type GpioMessage = DeviceRead | DeviceWrite
  /** Something outside drives an input line, 0 to 7. */
  | { readonly type: 'pin'; readonly pin: number; readonly level: boolean };
export type FlashMessage = DeviceRead | DeviceWrite;
export type FirmwareConfigurationMessage = DeviceRead | DeviceWrite;

/** L0's per-vCPU part. */
export type KvmMessage =
  | DeviceReply
  /** The vCPU took an exception to L0's EL2. */
  | { readonly type: 'exit'; readonly vector: 'sync' | 'irq' | 'fiq' | 'serror' }
  /** Do the next step of the work in hand. */
  | { readonly type: 'step' }
  /** Something pends for this vCPU: leave the guest, or wake up, and look. */
  | { readonly type: 'kick' }
  /** The scheduler takes the processor away from L0 here, and gives it back. */
  | { readonly type: 'preempt' }
  /** PSCI CPU_ON by another vCPU. */
  | { readonly type: 'power-on'; readonly entry: bigint; readonly context: bigint; readonly from: KvmAddress }
  | { readonly type: 'power-on-reply'; readonly result: bigint }
  /** Whether interrupts that vCPU could take now pend in the vGIC's list. */
  | { readonly type: 'vgic-pending'; readonly pending: boolean }
  | { readonly type: 'fault-handled'; readonly result: FaultResult }
  | { readonly type: 'mmu-done' }
  /** The value of a timer register that L1 reads through a trap. */
  | { readonly type: 'register-value'; readonly value: bigint };

/** The outcome of a stage-2 fault that L0's mmu looked into. Levels are the walk's; `esr` bits as in ISS.xFSC. */
export type FaultResult =
  | { readonly outcome: 'mapped' }
  | { readonly outcome: 'device'; readonly ipa: number }
  /** L1's stage 2 denies or lacks it: a stage-2 fault for L1. `fsc` is the 6-bit fault status code. */
  | { readonly outcome: 'inject'; readonly fsc: number; readonly ipa: number };

/** L0's view of which context a vCPU is in. */
export interface VgicContext { readonly nested: boolean }

export type VgicMessage =
  | Offer
  /**
   * The world switch: put saves hardware state, load programs it, for the given context. `l2`: the vCPU runs below virtual
   * EL2, so that the hardware's comparators are the EL1 timers; without it the same as `nested` (they differ when L1 has IMO and FMO clear).
   */
  | { readonly type: 'load'; readonly nested: boolean; readonly l2?: boolean }
  | { readonly type: 'put'; readonly nested: boolean }
  /** Before entry: fill list registers. After exit: fold them back. */
  | { readonly type: 'flush'; readonly nested: boolean }
  | { readonly type: 'sync'; readonly nested: boolean }
  | { readonly type: 'query-pending' };

export type TimerMessage =
  | Alarm
  | { readonly type: 'load'; readonly nested: boolean }
  /** `untilNs`: a wait that blocks ends then at the latest. */
  | { readonly type: 'put'; readonly nested: boolean; readonly blocking: boolean; readonly untilNs?: number }
  | { readonly type: 'sync'; readonly nested: boolean }
  | { readonly type: 'flush'; readonly nested: boolean }
  /** A hardware timer line that L0 owns rose while the vCPU ran. */
  | { readonly type: 'host-irq'; readonly line: number }
  /** A trapped access of L1 to a timer register, by its name at the virtual exception level (CNTV_CTL_EL0 is L2's virtual timer, CNTHV_CTL_EL2 L1's own). */
  | { readonly type: 'register-read'; readonly name: string; readonly from: KvmAddress; readonly nested: boolean }
  | { readonly type: 'register-write'; readonly name: string; readonly value: bigint; readonly nested: boolean };

export type MmuMessage =
  | { readonly type: 'load'; readonly vcpu: number; readonly nested: boolean; readonly vttbr: bigint; readonly vtcr: bigint; readonly stage2Enabled: boolean }
  | { readonly type: 'put'; readonly vcpu: number }
  /** `update`: the walk of the guest's own tables, which reads a descriptor and writes its flags (FEAT_HAFDBS). `user`: by code at EL0. */
  | { readonly type: 'fault'; readonly vcpu: number; readonly ipa: number; readonly access: 'read' | 'write' | 'fetch' | 'update'; readonly user: boolean; readonly fsc: number; readonly vttbr: bigint; readonly vtcr: bigint; readonly nested: boolean }
  /** Memory of the guest's map from `ipa` on (a range of the map) is gone, since its device answers there, or back. */
  | { readonly type: 'memory-slot'; readonly ipa: number; readonly present: boolean }
  | { readonly type: 'tlbi'; readonly vcpu: number; readonly operation: string; readonly value: bigint; readonly vmid: number };

/** The board's firmware and power controller. Under L0, KVM answers PSCI itself and only power requests come here. */
export type PsciMessage =
  /** SMC #0 on a board without EL3: the firmware call in X0 to X3. */
  | { readonly type: 'call'; readonly from: VcpuAddress; readonly arguments: readonly [bigint, bigint, bigint, bigint] }
  | { readonly type: 'power'; readonly request: 'off' | 'reset' };

export interface MessagesByReceiver {
  vcpu: VcpuMessage; kvm: KvmMessage; vgic: VgicMessage; timer: TimerMessage; gicr: RedistributorMessage;
  gicd: DistributorMessage; its: ItsMessage; v2m: MessageFrameMessage; mmu: MmuMessage; uart: UartMessage; psci: PsciMessage;
  flash: FlashMessage; rtc: RtcMessage; gpio: GpioMessage; 'fw-cfg': FirmwareConfigurationMessage;
  lan: LanMessage; virtio: VirtioMessage; 'virtio-empty': DeviceRead | DeviceWrite; pcie: PcieMessage;
}
type KindOf<A extends Address> = A extends `${infer K}:${number}` ? K : A;
export type MessageFor<A extends Address> = MessagesByReceiver[KindOf<A> & keyof MessagesByReceiver];
export type Message = MessagesByReceiver[keyof MessagesByReceiver];

/** RAM as a device that masters the bus reaches it, by physical address; a flash bank's own cells by their offset. */
export interface DirectMemory {
  /** A copy; undefined where it is not all RAM. */
  read(pa: number, bytes: number): Uint8Array | undefined;
  /** False, and nothing written, where it is not all RAM. */
  write(pa: number, bytes: Uint8Array): boolean;
}

/** A disk as its device reaches it: what was written lies in the machine's memory, the rest in an image that nobody writes. Offsets and lengths are in bytes and lie within `bytes`. */
export interface Disk {
  readonly bytes: number;
  read(offset: number, length: number): Uint8Array;
  /** False, and nothing written, where there is no room for so many more pages. */
  write(offset: number, bytes: Uint8Array): boolean;
  /** As a write of zeroes; whole pages that were never written take no room. */
  clear(offset: number, length: number): boolean;
}

/** How a machine's handler speaks. Nothing here is state. */
export interface Out {
  /** Virtual nanoseconds now. */
  readonly now: number;
  /** Puts a message in the receiver's mailbox, behind those already there. */
  send<A extends Address>(to: A, message: MessageFor<A>): void;
  /** Arms this actor's alarm `name` for `deadlineNs`, or disarms it. It comes back as `{ type: 'alarm', name }`. */
  alarm(name: string, deadlineNs: number | undefined): void;
  /** Records an event for the timeline; `event` is a KVM tracepoint's name where one exists. */
  event(event: string, fields?: Readonly<Record<string, unknown>>): void;
}
