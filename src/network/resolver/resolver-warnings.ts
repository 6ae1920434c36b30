/** What a person should know of the resolver: where it cannot answer, and why. */
import type { Ip } from '../../base/ip.ts';
import type { NameServer } from '../../dns/resolv-conf.ts';
import type { OwnedWarning } from '../reports.ts';
import { RESOLVER_IP } from './resolver-plan.ts';

export type ResolverProblem =
  /** Another link has the address. */
  | { readonly type: 'address-taken'; readonly link: string }
  | { readonly type: 'address'; readonly reason: string }
  | { readonly type: 'listen'; readonly ip: Ip; readonly link: string; readonly reason: string }
  | { readonly type: 'rules'; readonly reason: string }
  /** The host itself asks this resolver. */
  | { readonly type: 'loop'; readonly servers: readonly NameServer[] };

export function resolverWarnings(problems: readonly ResolverProblem[]): OwnedWarning[] {
  return problems.map(problem => ({
    id: problem.type === 'listen' ? `listen ${problem.ip} ${problem.link}` : problem.type,
    severity: 'warning',
    ...wordsOf(problem),
  }));
}

function wordsOf(problem: ResolverProblem): Pick<OwnedWarning, 'code' | 'title' | 'text' | 'hint'> {
  switch (problem.type) {
    case 'address-taken':
      return {
        code: 'RESOLVER_ADDRESS',
        title: 'containers do not reach the resolver at its fixed address',
        text: `${RESOLVER_IP} is the address of ${problem.link}`,
        hint: 'take it away there, or turn the resolver off with --dns=off',
      };
    case 'address':
      return {
        code: 'RESOLVER_ADDRESS',
        title: 'the resolver cannot have its address',
        text: `${RESOLVER_IP} cannot be put on lo: ${problem.reason}`,
      };
    case 'listen':
      return {
        code: 'RESOLVER_NOT_LISTENING',
        title: `containers on ${problem.link} get no answer at ${problem.ip}`,
        text: problem.reason,
        hint: 'a DNS server that listens on all addresses needs port 53 of the bridges left to Tulle: see docs/guide/names.md',
      };
    case 'rules':
      return {
        code: 'RESOLVER_NOT_REDIRECTED',
        title: 'questions of containers to other servers are not led to the resolver',
        text: `the rules could not be written: ${problem.reason}`,
        hint: `install nftables, or give containers the server ${RESOLVER_IP}`,
      };
    case 'loop':
      return {
        code: 'RESOLVER_LOOP',
        title: 'this host asks its own resolver, which has nobody else to ask',
        text: `${problem.servers.map(({ address }) => address).join(', ')} of resolv.conf is this resolver`,
        hint: 'name another server in /etc/resolv.conf, or with --dns-upstream',
      };
  }
}
