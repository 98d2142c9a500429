/** The known bugs that L0 can be given, by the name under which the command line knows them. */

import type { Behaviour } from '../behaviour.ts';
import { lostDoorbell } from './lost-doorbell.ts';

export const VARIANTS: Readonly<Record<string, Partial<Behaviour>>> = {
  'lost-doorbell': lostDoorbell,
};
