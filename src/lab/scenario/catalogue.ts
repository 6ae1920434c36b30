/** All scenarios, in the order in which a reader learns from them. Each is a file, loaded when it is asked for. */
import { CommandError } from '../../console/errors.ts';
import type { Scenario } from './scenario.ts';

/** Name -> the module, which exports it as `SCENARIO`. */
const CATALOGUE: Readonly<Record<string, () => Promise<{ readonly SCENARIO: Scenario }>>> = {
  'netns-veth': () => import('../scenarios/netns-veth.ts'),
  'netns-bridge': () => import('../scenarios/netns-bridge.ts'),
  'docker-bridge': () => import('../scenarios/docker-bridge.ts'),
  'vni-isolation': () => import('../scenarios/vni-isolation.ts'),
  'p2p-vxlan': () => import('../scenarios/p2p-vxlan.ts'),
  'docker-l2': () => import('../scenarios/docker-l2.ts'),
  flannel: () => import('../scenarios/flannel.ts'),
  backends: () => import('../scenarios/backends.ts'),
  'l2-questions': () => import('../scenarios/l2-questions.ts'),
  'docker-drivers': () => import('../scenarios/docker-drivers.ts'),
};

export const SCENARIO_NAMES: readonly string[] = Object.keys(CATALOGUE);

/** @throws CommandError NOT_FOUND */
export async function loadScenario(name: string): Promise<Scenario> {
  const load = CATALOGUE[name];
  if (load === undefined) {
    throw new CommandError(
      'NOT_FOUND',
      `there is no scenario ${name}`,
      `there are ${SCENARIO_NAMES.join(', ')}; \`tulle lab run --list\` says what each shows`,
    );
  }
  return (await load()).SCENARIO;
}

export const loadScenarios = (): Promise<Scenario[]> => Promise.all(SCENARIO_NAMES.map(loadScenario));
