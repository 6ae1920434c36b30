/** What the backend extension makes of its commands, of leases and of what a host allows. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConfigError, formatProblem, type Problem } from '../base/errors.ts';
import { Ip } from '../base/ip.ts';
import { Mac } from '../base/mac.ts';
import { byFamily } from '../base/per-family.ts';
import { Prefix } from '../base/prefix.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import { decodeAttributes, encodeAttributes } from '../subnet/lease/attributes.ts';
import type { Lease, Subnet } from '../subnet/lease/lease.ts';
import type { Backend, CommandResult, CommandResults } from './backend.ts';
import { checkBackend, createBackend } from './registry.ts';

const OWN: Subnet = { ipv4: Prefix.parse('10.3.50.0/24') };

const addresses = byFamily(Ip.parse('192.168.65.3'), Ip.parse('2001:db8::3'));

const has = (result?: CommandResult): CommandResults => ({ resultOf: () => result });

function backendOf(
  backend: object,
  commands: CommandResults | 'not allowed' = has(),
  isDual = false,
): Backend {
  const families = isDual ? { EnableIPv6: true, IPv6Network: 'fd03::/48' } : {};
  const config = { Network: '10.3.0.0/16', ...families, Backend: { Type: 'extension', ...backend } };
  return createBackend({
    config: parseNetworkConfig(JSON.stringify(config)).config,
    underlay: { link: { index: 2, name: 'eth0', mtu: 1500 }, ip: addresses, publicIp: addresses },
    defaultVxlanPort: 8472,
    identity: { hostId: 'b7e4', mac: () => Mac.parse('c6:d2:32:6f:8f:44') },
    ...(commands !== 'not allowed' && { commands }),
  });
}

function lease(json: object, subnet: Subnet = { ipv4: Prefix.parse('10.3.81.0/24') }): Lease {
  const value = { PublicIP: '192.168.65.4', PublicIPv6: null, BackendType: 'extension', ...json };
  const attributes = decodeAttributes(new TextEncoder().encode(JSON.stringify(value)));
  return { key: 'peer', subnet, attributes, storeLease: 1n, createRevision: 1n, modRevision: 1n };
}

/** What this host publishes, as text. */
const published = (backend: Backend) =>
  new TextDecoder().decode(
    encodeAttributes({ publicIp: byFamily(Ip.parse('192.168.65.3')), ...backend.attributes() }),
  );

/** The command for a peer. */
function commandOf(backend: Backend, of: Lease, which: 'add' | 'remove' = 'add') {
  const [path] = backend.peer(of).paths;
  const [entry] = path?.entries ?? [];
  return entry?.kind === 'command' ? entry[which] : undefined;
}

function findings(backend: object): {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
} {
  const type = 'extension';
  return checkBackend({ type, options: { Type: type, ...backend } });
}

describe('the lease', () => {
  test('has the output of PreStartupCommand as a string, and nothing without one', () => {
    const publicIps = '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"extension"';
    assert.equal(published(backendOf({})), `${publicIps}}`);
    const output = 'c6:d2:32:6f:8f:44';
    const backend = backendOf({ PreStartupCommand: 'x' }, has({ output, run: 3 }));
    assert.equal(published(backend), `${publicIps},"BackendData":"c6:d2:32:6f:8f:44"}`);
    assert.equal(backend.preparation?.run, 3);
  });

  test('cannot be made before PreStartupCommand has run', () => {
    const { preparation } = backendOf({ PreStartupCommand: 'x' });
    assert.equal(preparation?.run, undefined);
    assert.deepEqual(preparation?.command, {
      name: 'PreStartupCommand',
      words: ['/bin/sh', '-c', 'exec 2>&1\nx'],
      variables: {
        NETWORK: '10.3.0.0/16',
        IPV6NETWORK: '',
        PUBLIC_IP: '192.168.65.3',
        PUBLIC_IPV6: '2001:db8::3',
      },
      input: '\n',
      timeout: 30_000,
    });
    assert.equal(backendOf({ PreStartupCommand: '' }).preparation, undefined);
  });

  test('of a peer must have a string, if anything', () => {
    const backend = backendOf({ SubnetAddCommand: 'x' });
    assert.equal(commandOf(backend, lease({}))?.input, '\n');
    assert.equal(commandOf(backend, lease({ BackendData: 'a"b' }))?.input, 'a"b\n');
    assert.deepEqual(backend.peer(lease({ BackendData: { VNI: 1 } })), {
      paths: [],
      problems: ['its BackendData is not a string'],
    });
    assert.match(
      `${backend.peer(lease({ BackendType: 'vxlan' })).problems[0]}`,
      /this network uses extension/,
    );
  });
});

describe('a command', () => {
  test('of a peer gets its values, and one serves both families', () => {
    const subnet = { ipv4: Prefix.parse('10.3.81.0/24'), ipv6: Prefix.parse('fd03:0:0:81::/64') };
    const peer = lease({ PublicIPv6: '2001:db8::4' }, subnet);
    const backend = backendOf({ SubnetAddCommand: 'x', SubnetRemoveCommand: 'y' }, has(), true);
    const { paths } = backend.peer(peer);
    assert.deepEqual(
      paths.map(({ link, entries }) => [link, entries.length]),
      [
        ['eth0', 1],
        ['eth0', 0],
      ],
    );
    const variables = {
      NETWORK: '10.3.0.0/16',
      IPV6NETWORK: 'fd03::/48',
      PUBLIC_IP: '192.168.65.4',
      PUBLIC_IPV6: '2001:db8::4',
      SUBNET: '10.3.81.0/24',
      IPV6SUBNET: 'fd03:0:0:81::/64',
    };
    assert.deepEqual(commandOf(backend, peer)?.variables, variables);
    assert.deepEqual(commandOf(backend, peer, 'remove')?.words, ['/bin/sh', '-c', 'exec 2>&1\ny']);
    const ofIpv4 = commandOf(backendOf({ SubnetAddCommand: 'x' }), peer);
    assert.equal(ofIpv4?.variables['IPV6SUBNET'], '', 'the network has no IPv6');
  });

  test('in the form of a list keeps its words, whatever a variable holds', () => {
    const add = ['ip', 'route', 'add', '$SUBNET', 'via=${PUBLIC_IP}', '$', 'a b', '$5'];
    const words = ['ip', 'route', 'add', '10.3.81.0/24', 'via=192.168.65.4', '$', 'a b', '$5'];
    assert.deepEqual(commandOf(backendOf({ SubnetAddCommand: add }), lease({}))?.words, words);
  });

  test('of a peer is another one when what it stands on was done again', () => {
    const after = (backend: Backend) => JSON.stringify(backend.peer(lease({})).paths[0]?.entries);
    const options = { PreStartupCommand: 'x', SubnetAddCommand: 'y' };
    const first = backendOf(options, has({ output: '', run: 1 }));
    assert.equal(after(first), after(backendOf(options, has({ output: '', run: 1 }))));
    assert.notEqual(after(first), after(backendOf(options, has({ output: '', run: 2 }))));
  });

  test('for this host has its subnet', () => {
    const backend = backendOf({ PostStartupCommand: 'x', ShutdownCommand: ['y', '$SUBNET'] });
    const { startup, shutdown } = backend.commands?.(OWN) ?? {};
    assert.equal(startup?.variables['SUBNET'], '10.3.50.0/24');
    assert.deepEqual(shutdown?.words, ['y', '10.3.50.0/24']);
  });
});

test('a host that runs no commands refuses the backend, and names the flag', () => {
  assert.throws(
    () => backendOf({}, 'not allowed'),
    (error: ConfigError) => {
      assert.ok(error instanceof ConfigError);
      assert.match(
        formatProblem(error.problems[0] ?? assert.fail()),
        /^Backend\.Type = "extension": .*--allow-extension/,
      );
      return true;
    },
  );
});

test('wrong options are problems with path, value and hint; those without effect are warnings', () => {
  const { problems, warnings } = findings({
    PreStartupCommand: 5,
    PostStartupCommand: ['ip', 6],
    SubnetAddCommand: ['ip', '$SUBNETS'],
    SubnetRemoveCommand: [],
    ShutdownCommand: 'a\0b',
    CommandTimeout: 0,
    SubnetAddComand: 'x',
  });
  assert.deepEqual(
    problems.map(({ path, message }) => `${path}: ${message}`),
    [
      'Backend.PreStartupCommand: must be a string or a list of strings',
      'Backend.PostStartupCommand: must be a string or a list of strings',
      'Backend.ShutdownCommand: has a NUL character',
      'Backend.SubnetAddCommand[1]: has $SUBNETS, which is no variable of this command',
      'Backend.SubnetRemoveCommand: names no program',
      'Backend.CommandTimeout: must be between 1 and 3600',
    ],
  );
  assert.deepEqual(
    warnings.map(({ path, hint }) => [path, hint]),
    [['Backend.SubnetAddComand', 'did you mean SubnetAddCommand?']],
  );
  assert.deepEqual(
    findings({ PreStartupCommand: ['echo', '$SUBNET'] }).problems.length,
    1,
    'there is none yet',
  );
});
