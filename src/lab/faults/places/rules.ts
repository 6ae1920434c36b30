/** A rule of nftables in a table of its own, planted and mended. */
import { type FaultStep, type Where } from '../step.ts';

export interface RulePlace {
  readonly family: 'ip' | 'inet' | 'arp' | 'bridge' | 'netdev';
  /** Names the table. */
  readonly table: string;
  /** `forward priority filter`, `ingress device "eth0" priority 0`. */
  readonly hook: string;
  readonly type?: 'filter' | 'nat' | 'route';
  /** Before the chain: sets. */
  readonly sets?: string;
}

export function addRule(
  on: Where,
  { family, table, hook, type = 'filter', sets }: RulePlace,
  rule: string,
): FaultStep {
  const lines = [
    `table ${family} ${table} {`,
    ...(sets === undefined ? [] : [`  ${sets}`]),
    '  chain rules {',
    `    type ${type} hook ${hook}; policy accept;`,
    `    ${rule}`,
    '  }',
    '}',
  ];
  return { kind: 'run', on, words: ['nft', '-f', '-'], input: `${lines.join('\n')}\n` };
}

export const dropTable = (on: Where, { family, table }: Pick<RulePlace, 'family' | 'table'>): FaultStep => ({
  kind: 'run',
  on,
  words: ['nft', 'delete', 'table', family, table],
});

/** The members of a fault that is one such rule. */
export function ruleFault<Scene>(
  on: Where,
  place: (scene: Scene) => RulePlace,
  rule: (scene: Scene) => string,
) {
  return {
    plant: (scene: Scene) => [addRule(on, place(scene), rule(scene))],
    mend: (scene: Scene) => [dropTable(on, place(scene))],
  };
}
