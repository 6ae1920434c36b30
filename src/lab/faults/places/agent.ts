/** Faults of the agent itself: nothing is lost, until something changes. */
import type { Fault } from '../fault.ts';
import { freeze, kill, restart, thaw } from '../step.ts';

const place = 'agent' as const;
const on = 'host' as const;

export const AGENT_FAULTS: readonly Fault[] = [
  {
    name: 'agent-killed',
    place,
    on,
    title: 'the agent is dead',
    story:
      'Packets flow as before, no packet passes an agent. Hosts that join or move are not followed, and the lease ends after a day. ' +
      'By hand: `tulle status`.',
    effect: 'later',
    plant: () => [kill('agent')],
    mend: () => [restart('agent')],
    finds: { here: ['AGENT_DOWN'], there: ['AGENT_DOWN'] },
  },
  {
    name: 'agent-frozen',
    place,
    on,
    title: 'the agent hangs',
    story:
      'Its process exists and does nothing: stopped by a debugger, or waiting for a disk. A service manager takes it for alive. By ' +
      'hand: `tulle status` waits, `ps` says T or D.',
    effect: 'later',
    plant: () => [freeze('agent')],
    mend: () => [thaw('agent')],
    finds: { here: ['AGENT_HUNG'], there: ['AGENT_HUNG', 'AGENT_SILENT'] },
  },
];
