/** Reads the rules of this host that judge each packet: those of nftables from the kernel, of the legacy iptables by its program. */
import { isCode } from '../../base/errors.ts';
import { listRules } from '../../netlink/netfilter/ruleset.ts';
import type { Netns } from '../../sys/netns.ts';
import { hasLegacyTables } from '../changes.ts';
import type { RunProgram } from '../engine.ts';
import { parseSave } from '../iptables/saved.ts';
import type { FastTraffic } from './conditions.ts';
import type { JudgingRule } from './judging-rule.ts';
import { isOfInterest, judgingInRuleset } from './ruleset.ts';
import { judgingInSaved } from './saved.ts';

/**
 * Rules that forwarded or bridged packets of IPv4, or those of tunnels, may meet, and that decide by more than what all packets of a flow have in
 * common. Not among them: the legacy ebtables.
 *
 * @param run starts programs in the namespace. @throws NetlinkError, SysError, ProcessError
 */
export async function judgingRules(
  netns: Netns,
  run: RunProgram,
  traffic: FastTraffic = {},
): Promise<JudgingRule[]> {
  const [ruleset, saved] = await Promise.all([
    listRules(netns, isOfInterest),
    hasLegacyTables(netns) ? saveLegacy(run) : '',
  ]);
  return [
    ...judgingInRuleset(ruleset, traffic),
    ...judgingInSaved('iptables-legacy', parseSave(saved), traffic),
  ];
}

/** Empty without the program: then something else has made the tables, and nobody can say what is in them. */
async function saveLegacy(run: RunProgram): Promise<string> {
  try {
    const { stdout } = await run('iptables-legacy-save', []);
    return stdout;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return '';
    throw error;
  }
}
