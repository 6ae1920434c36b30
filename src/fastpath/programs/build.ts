/** Programs of the fast path by their names in the desired state. */
import type { BpfProgramOptions } from '../../bpf/program.ts';
import type { Role } from '../roles.ts';
import { deliveredProgram } from './delivered.ts';
import type { FlowMaps } from './flow-program.ts';
import { receiveProgram } from './receive.ts';
import { sentProgram } from './sent.ts';
import { transmitProgram } from './transmit.ts';

const AT_HOST_END = { transmit: transmitProgram, delivered: deliveredProgram } as const;
const AT_UPLINK = { receive: receiveProgram, sent: sentProgram } as const;
const MOST_VNI = 2 ** 24 - 1;

/** `receive`, `transmit 5`. @param vni of the network that the container is in; of no meaning at an uplink */
export const programName = (role: Role, vni: number): string => (role in AT_UPLINK ? role : `${role} ${vni}`);

/** @param program as `programName` gave it. @throws RangeError for any other */
export function buildFastProgram(program: string, maps: FlowMaps): BpfProgramOptions {
  const [role = '', number] = program.split(' ');
  const vni = Number(number);
  const type = 'traffic control';
  if (isAt(AT_UPLINK, role) && number === undefined)
    return { type, name: `tulle_${role}`, instructions: AT_UPLINK[role](maps) };
  if (isAt(AT_HOST_END, role) && /^\d{1,8}$/.test(number ?? '') && vni <= MOST_VNI)
    return { type, name: `tulle_${role}`, instructions: AT_HOST_END[role](maps, vni) };
  throw new RangeError(`there is no program ${JSON.stringify(program)}`);
}

const isAt = <Table extends object>(table: Table, role: string): role is keyof Table & string =>
  Object.hasOwn(table, role);
