/**
 * TCP and conntrack: its window of a connection gets stale under a fast flow, so that it would take later packets of the
 * normal path for invalid. The agent is asked to have it accept any sequence number of this connection; until it says that
 * it does, through map `cleared`, the flow stays on the normal path. Without an agent nothing new is cleared.
 */
import { FP, R0, R1, R2, R3, R4, R8, R9 } from '../../bpf/instructions.ts';
import { type FlowProgram, KEY } from './flow-program.ts';
import { loaded16, TRANSPORT } from './headers.ts';
import { FLOW_KEY, FLOW_LAYOUT, WANTED_SEEN } from './layout.ts';
import { PROOF_LIFETIME } from './proof.ts';

const ENTRY = FLOW_LAYOUT.at;
/**
 * A RST that is 2 GiB ahead of what conntrack knows is invalid whatever it accepts: it is asked to look again long before.
 */
const REPORT_SHIFT = 26;

/** Wants the entry in R8, the time in R9. Forgets R0 to R5. */
export function askForClearance(program: FlowProgram): void {
  program.loadField(R1, FP, FLOW_KEY.at.protocol, KEY).jumpIf(R1, '!=', TRANSPORT.tcp, 'nothing to ask');
  program
    .load(R1, R8, ENTRY.sentSeen.offset, 2)
    .jumpIf(R1, '!=', loaded16(WANTED_SEEN * 257), 'nothing to ask');
  program.loadField(R1, R8, ENTRY.cleared).jumpIf(R1, '==', 0, 'not cleared');
  bytesInSteps(program);
  program.loadField(R2, R8, ENTRY.reported).jumpIf(R1, '==', R2, 'nothing to ask');
  program.storeField(R8, ENTRY.reported, R1).jump('ask');

  program.label('not cleared').findCleared().jumpIf(R0, '==', 0, 'not cleared yet');
  bytesInSteps(program);
  program.storeField(R8, ENTRY.reported, R1).storeField(R8, ENTRY.cleared, 1);
  // A later connection between the same ports must ask for itself.
  program.deleteFrom('cleared').jump('nothing to ask');

  program.label('not cleared yet').loadField(R1, R8, ENTRY.askAt).jumpIf(R9, '<', R1, 'nothing to ask');
  program.add(R9, PROOF_LIFETIME).storeField(R8, ENTRY.askAt, R9);
  program
    .label('ask')
    .loadMap(R1, program.maps.unproven)
    .addressOfKey(R2)
    .move(R3, FLOW_KEY.size)
    .move(R4, 0);
  program.call('ringbuf_output').label('nothing to ask');
}

/** R1: 32 bits of them. Forgets R2. */
function bytesInSteps(program: FlowProgram): void {
  program.loadField(R1, R8, ENTRY.sentBytes).loadField(R2, R8, ENTRY.deliveredBytes).add(R1, R2);
  program.shiftRight(R1, REPORT_SHIFT).move(R1, R1, 32);
}
