/** The state of the PL011 serial port: its registers and the receive FIFO, their reset values, and what always holds. Arm DDI 0183. */

/** Bytes that the FIFO holds, as revision r1p4 (PeriphID says so). One with LCR_H.FEN clear. */
export const FIFO_BYTES = 16;

/** Bits of the interrupt registers IMSC, RIS, MIS and ICR. */
export const UartInterrupt = { RX: 1 << 4, TX: 1 << 5, RT: 1 << 6, OE: 1 << 10 } as const;

/** Looks at an empty FIFO after which a guest is taken to wait: a driver that sends, or empties the FIFO before it begins, looks once or twice. */
export const POLLS = 8;

export interface UartState {
  /** Received and not yet read, oldest first: the byte, and bit 11 (overrun) when bytes after it were lost. */
  receiveFifo: number[];
  /** UARTRSR: the error bits of the character last read, with overrun in bit 3. */
  receiveStatus: number;
  /** UARTILPR. */
  lowPower: number;
  integerBaud: number;
  fractionalBaud: number;
  /** UARTLCR_H. Bit 4: FIFOs enabled. */
  lineControl: number;
  /** UARTCR. Bit 0: enabled; 7: loop back; 8: transmit; 9: receive. */
  control: number;
  /** UARTIFLS: receive level in bits 5 to 3, transmit level in 2 to 0. */
  fifoLevels: number;
  /** UARTIMSC. */
  mask: number;
  /** UARTRIS. */
  raw: number;
  dmaControl: number;
  /** Looks in a row, up to POLLS, that found the receive FIFO empty, with nothing written between: the guest waits for a character. */
  polls: number;
  /** Whether the receive interrupts have been unmasked for SETTLE_NS. */
  settled: boolean;
  /** The interrupt line as the distributor was last told. */
  line: boolean;
}

/** As the board's firmware leaves it: enabled, both directions on. The rest as reset. */
export const initialUart = (): UartState => ({
  receiveFifo: [], receiveStatus: 0, lowPower: 0, integerBaud: 0, fractionalBaud: 0, lineControl: 0,
  control: 0x301, fifoLevels: 0x12, mask: 0, raw: 0, dmaControl: 0, polls: 0, settled: false, line: false,
});

export const fifoDepth = (state: UartState): number => ((state.lineControl & (1 << 4)) === 0 ? 1 : FIFO_BYTES);

/** Time from unmasking the receive interrupts until a driver is taken to have begun: Linux unmasks them, and empties the FIFO once more. */
export const SETTLE_NS = 1_000_000;

export const asksForInterrupts = (state: UartState): boolean => (state.mask & (UartInterrupt.RX | UartInterrupt.RT)) !== 0;

/** Whether the guest wants what is typed: it has asked to be interrupted, or looks again and again. Before, it may throw it away. */
export const listens = (state: UartState): boolean => (state.control & RECEIVING) === RECEIVING && (state.settled || state.polls === POLLS);

/** UARTCR: enabled, and receiving. */
export const RECEIVING = (1 << 0) | (1 << 9);

/** Sentences about what does not hold, none when all is well. */
export function uartFaults(state: UartState): string[] {
  const faults: string[] = [];
  if (state.receiveFifo.length > fifoDepth(state)) faults.push(`the receive FIFO holds ${state.receiveFifo.length} of ${fifoDepth(state)} bytes`);
  if (state.line !== ((state.raw & state.mask) !== 0)) faults.push(`the line is ${state.line ? 'high' : 'low'} with RIS ${state.raw} and IMSC ${state.mask}`);
  if (state.settled && !asksForInterrupts(state)) faults.push('receive interrupts are masked and said to have been unmasked for long');
  return faults;
}
