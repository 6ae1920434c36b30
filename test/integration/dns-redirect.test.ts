/** The rules that lead questions about names to the resolver, in a namespace of their own on the real kernel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ip } from '../../src/base/ip.ts';
import { Prefix } from '../../src/base/prefix.ts';
import { DnsRedirection } from '../../src/firewall/dns/dns-redirect.ts';
import { connectNetfilter } from '../../src/netlink/netfilter/connect.ts';
import { Netns } from '../../src/sys/netns.ts';
import { run } from '../../src/sys/process.ts';
import { needsRoot } from '../support/capabilities.ts';

const redirectTo = (gateway: string) => ({
  redirected: [{ bridge: 'tb-blue', gateways: { ipv4: Ip.parse(gateway), ipv6: Ip.parse('fd00:9::1') } }],
  bridges: ['tb-blue', 'docker0'],
  own: [Prefix.parse('10.9.0.0/16'), Prefix.parse('fd00:9::/64')],
});

test(
  'the redirection is written once, repaired, renewed, and gone when it is not wanted',
  needsRoot,
  async () => {
    using netns = Netns.anonymous();
    using netfilter = connectNetfilter({ netns });
    const namespaces = { net: `/proc/${process.pid}/fd/${netns.fd}` };
    const nft = async (...words: string[]) => (await run('nft', words, { namespaces })).stdout;
    const redirection = new DnsRedirection(netfilter, (program, args, options) =>
      run(program, args, { ...options, namespaces }),
    );
    assert.equal(await redirection.apply(undefined), false);
    assert.equal(await redirection.isThere(), false);
    redirection.renew();
    assert.equal(await redirection.apply(redirectTo('10.9.0.1')), true);
    assert.equal(await redirection.apply(redirectTo('10.9.0.1')), false);

    // What time and traffic change is no difference.
    await nft('flush', 'set', 'inet', 'tulle-dns', 'alive');
    assert.equal(await redirection.apply(redirectTo('10.9.0.1')), false);
    redirection.renew();
    const alive = await nft('list', 'set', 'inet', 'tulle-dns', 'alive');
    assert.match(alive, /timeout 2m/);
    assert.match(alive, /elements = \{ tcp expires \d[^}]*udp expires \d/);

    await nft('delete', 'element', 'inet', 'tulle-dns', 'gateways-ip', '{ "tb-blue" : 10.9.0.1 }');
    assert.equal(await redirection.apply(redirectTo('10.9.0.1')), true);
    assert.equal(await redirection.apply(redirectTo('10.9.0.2')), true);
    assert.match(await nft('list', 'map', 'inet', 'tulle-dns', 'gateways-ip'), /"tb-blue" : 10\.9\.0\.2/);

    await nft('delete', 'table', 'inet', 'tulle-dns');
    assert.throws(() => redirection.renew(), { code: 'ENOENT' });
    assert.equal(await redirection.apply(redirectTo('10.9.0.2')), true);
    assert.equal(await redirection.apply(undefined), true);
    assert.equal(await nft('list', 'ruleset'), '');
  },
);
