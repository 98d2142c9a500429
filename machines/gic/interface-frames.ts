/** The frames of GICv2's CPU interface as rows: GICC, and with an EL2 GICH and GICV. What they do is aarch64's, since the interface lies in the core. Arm IHI 0048B, 4.4, 5.3 and 5.5. */

import { GICC, GICH, GICV } from '../aarch64/memory-mapped-interface.ts';
import type { Core } from '../aarch64/state.ts';
import type { DeviceRead, DeviceWrite, Out } from '../messages.ts';
import { answerRead, checked, register, reserved, rowOf, writeRegister, type FrameName, type Register } from './registers.ts';

/** The frames by their offset from GICC. Between them lies the message frame (message-frame.ts). */
export const INTERFACE_FRAMES = { GICC: 0, GICH: 0x2_0000, GICV: 0x3_0000 } as const satisfies Partial<Record<FrameName, number>>;
type InterfaceFrame = keyof typeof INTERFACE_FRAMES;

/** Places of GICC and GICV; those of GICH. */
const INTERFACE = { CTLR: 0x00, PMR: 0x04, BPR: 0x08, IAR: 0x0c, EOIR: 0x10, RPR: 0x14, HPPIR: 0x18, ABPR: 0x1c, AIAR: 0x20, AEOIR: 0x24, AHPPIR: 0x28, APR0: 0xd0, NSAPR0: 0xe0, IIDR: 0xfc, DIR: 0x1000 } as const;
const CONTROL = { HCR: 0x00, VTR: 0x04, VMCR: 0x08, MISR: 0x10, EISR0: 0x20, ELRSR0: 0x30, APR: 0xf0 } as const;

function rows(frame: InterfaceFrame, places: Readonly<Record<string, number>>, registers: typeof GICC): Register<Core>[] {
  return Object.entries(places).flatMap(([name, offset]) => {
    const found = registers[name];
    return found === undefined ? [] : [register<Core>(`${frame}_${name}`, INTERFACE_FRAMES[frame] + offset, found.read, found.write)];
  });
}

const ROWS: readonly Register<Core>[] = checked([
  ...rows('GICC', INTERFACE, GICC),
  // Five bits of priority need no more than the first of them.
  reserved('GICC_APR<n>', INTERFACE_FRAMES.GICC + 0xd4, 3),
  reserved('GICC_NSAPR<n>', INTERFACE_FRAMES.GICC + 0xe4, 3),
  ...rows('GICV', INTERFACE, GICV),
  reserved('GICV_APR<n>', INTERFACE_FRAMES.GICV + 0xd4, 3),
  ...rows('GICH', CONTROL, GICH),
  // For list registers 32 to 63, of which there are none.
  reserved('GICH_EISR1', INTERFACE_FRAMES.GICH + 0x24),
  reserved('GICH_ELRSR1', INTERFACE_FRAMES.GICH + 0x34),
  {
    name: 'GICH_LR<n>', offset: INTERFACE_FRAMES.GICH + 0x100, unit: 4, count: 64, sizes: [4],
    read: (core, index) => GICH[`LR${index}`]?.read?.(core) ?? 0n,
    write: (core, index, value) => GICH[`LR${index}`]?.write?.(core, value),
  },
]);

/** The frame that an offset from GICC lies in. */
const frameAt = (offset: number): InterfaceFrame => (offset < INTERFACE_FRAMES.GICH ? 'GICC' : offset < INTERFACE_FRAMES.GICV ? 'GICH' : 'GICV');

/** An access of `core` to its own interface, which lies in its block: reads may change it as well. */
export function accessInterface(core: Core, message: DeviceRead | DeviceWrite, out: Out): void {
  const frame = frameAt(message.offset);
  if (message.type === 'read') {
    answerRead(ROWS, frame, core, message, out);
    return;
  }
  const row = rowOf(ROWS, frame, message, out);
  if (row !== undefined) writeRegister(row, core, message.offset, message.bytes, message.value);
}
