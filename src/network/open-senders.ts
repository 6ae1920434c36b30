/** The filter of senders in the kernel that a connection is bound to, kept as it was last stated. */
import type { Clock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { ruleChanges } from '../firewall/changes.ts';
import { RuleKeeper } from '../firewall/rule-keeper.ts';
import { SenderFilter } from '../firewall/senders/filter.ts';
import type { SenderPolicy } from '../firewall/senders/policy.ts';
import { SENDER_TABLES } from '../firewall/senders/table.ts';
import type { Netfilter } from '../netlink/netfilter/connect.ts';
import type { Netns } from '../sys/netns.ts';
import type { TargetListener, Targets } from './targets.ts';

/** Milliseconds after which the filter is looked at, and told to live on: three times before it ends by itself. */
const INTERVAL = 3 * 60_000;

export interface OpenSenders {
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export function openSenders(
  {
    netns,
    netfilter,
    clock,
    logger,
  }: {
    readonly netns: Netns;
    readonly netfilter: Netfilter;
    readonly clock: Clock;
    readonly logger: Logger;
  },
  listener: Pick<TargetListener, 'networks' | 'onSenderFilter'>,
): Targets['senders'] & OpenSenders {
  const filter = new SenderFilter({ netfilter, networks: () => listener.networks() });
  const keeper = new RuleKeeper<SenderPolicy | undefined>({
    apply: policy => filter.apply(policy),
    changes: signal => ruleChanges(netns, signal, { ignored: netfilter.port, own: SENDER_TABLES }),
    clock,
    logger,
    onState: failure => listener.onSenderFilter(failure),
    interval: INTERVAL,
    what: 'senders',
  });
  let stated: { readonly text: string | undefined } | undefined;
  return {
    use(policy) {
      const text = JSON.stringify(policy);
      // What is stated already is kept; to compare it with the kernel starts programs.
      if (stated === undefined || stated.text !== text) keeper.set(policy);
      stated = { text };
    },
    set(key, sender) {
      try {
        if (filter.set(key, sender)) keeper.wake();
      } catch (error) {
        logger.warn(
          { host: key, error: messageOf(error) },
          'the filter of senders could not be changed at once',
        );
        keeper.wake();
      }
    },
    refused: () => filter.refused(),
    run: signal => keeper.run(signal),
  };
}
