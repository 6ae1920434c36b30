/** The folder tree is the architecture: who may import whom, and why. A rule here is changed on purpose or not at all. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

const SRC = import.meta.dirname;

/** Folder -> the folders it may import, in dependency order, and the reason for its place. */
const FOLDERS: Record<string, { readonly may: readonly string[]; readonly why: string }> = {
  base: { may: [], why: 'values and small tools; knows nothing of networks, kernels or stores' },
  sys: { may: ['base'], why: 'the only door to the operating system' },
  netlink: { may: ['base', 'sys'], why: 'speaks rtnetlink; does not know what Tulle wants from it' },
  store: { may: ['base'], why: 'a key-value store with revisions; does not know what is kept in it' },
  ownership: {
    may: ['base', 'netlink'],
    why: 'whose a thing on this host is: one rule for everybody who takes over, repairs or removes',
  },
  subnet: { may: ['base', 'store'], why: 'the registry: config, leases, peers; never touches a kernel' },
  dataplane: {
    may: ['base', 'sys', 'netlink', 'ownership'],
    why: 'makes a Desired state real; does not know where it comes from',
  },
  firewall: {
    may: ['base', 'sys', 'ownership'],
    why: 'rules for masquerading and forwarding, beside the data plane',
  },
  backend: { may: ['base', 'subnet', 'dataplane'], why: 'pure: facts and peers in, Desired state out' },
  sandbox: { may: ['base', 'sys', 'netlink'], why: 'attaches a network namespace to a bridge' },
  api: { may: ['base'], why: 'what the agent tells its clients; the only thing both sides share' },
  cli: {
    may: ['base', 'sys', 'api'],
    why: 'thin clients of the agent, and how every command speaks to a person',
  },
  agent: {
    may: [
      'base',
      'sys',
      'netlink',
      'store',
      'subnet',
      'ownership',
      'dataplane',
      'firewall',
      'backend',
      'sandbox',
      'api',
      'cli',
    ],
    why: 'the composition root of the daemon',
  },
  trust: {
    may: ['base', 'sys', 'store', 'subnet'],
    why: 'who may talk to the store, and as whom: certificates, tokens, joining',
  },
  up: {
    may: ['base', 'sys', 'netlink', 'store', 'subnet', 'trust', 'agent', 'cli'],
    why: 'one command for a first and for every further host: store, trust and agent put together',
  },
  registry: {
    may: ['base', 'store', 'subnet', 'trust', 'backend', 'api', 'cli'],
    why: 'commands on the cluster: they speak to the store, because they must work where no agent runs',
  },
  host: {
    may: ['base', 'sys', 'netlink', 'subnet', 'ownership', 'dataplane', 'firewall', 'agent', 'api', 'cli'],
    why: "commands that change this host themselves, from the agent's records, because no agent runs then",
  },
  lab: {
    may: ['base', 'sys', 'netlink', 'sandbox', 'api', 'cli'],
    why: 'hosts made of namespaces; drives real agents from outside',
  },
  bench: {
    may: ['base', 'sys', 'netlink', 'store', 'subnet', 'dataplane', 'backend', 'api', 'agent', 'cli', 'lab'],
    why: 'measures the parts against what a user would pick instead',
  },
};

/** Module name -> the only folders that may name it. */
const CONFINED: Record<string, { readonly to: readonly string[]; readonly why: string }> = {
  koffi: { to: ['sys'], why: 'foreign function calls stay behind the door to the operating system' },
  'node:child_process': { to: ['sys'], why: 'one place starts processes, always with an argument array' },
  '@grpc/grpc-js': { to: ['store'], why: 'only the store speaks the etcd protocol' },
  '@bufbuild/protobuf': { to: ['store'], why: 'only the store speaks the etcd protocol' },
  '@peculiar/x509': { to: ['trust'], why: 'one place makes certificates' },
  'reflect-metadata': { to: ['trust'], why: 'wanted by the library that makes certificates' },
  'node:sqlite': { to: ['store'], why: 'the embedded store is the only database' },
  commander: {
    to: ['cli', 'agent', 'host', 'lab', 'bench', 'registry', 'store', 'trust', 'up', 'main.ts'],
    why: 'command lines are read at the edge',
  },
  pino: { to: ['cli'], why: 'one form of log for every daemon; everything else is handed a Logger' },
  'prom-client': { to: ['agent', 'store'], why: 'the daemons expose metrics' },
};

interface Import {
  readonly file: string;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

const isTest = (file: string) => file.endsWith('.test.ts');

/** A folder's own command lines sit in it and use the presentation of `cli`: `store/command.ts`. */
const mayImport = (file: string, from: string, to: string) =>
  from === to ||
  FOLDERS[from]?.may.includes(to) === true ||
  (to === 'cli' && /(^|-)command\.ts$/.test(file.split('/').at(-1) ?? ''));

const imports: Import[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts') && !file.includes('generated'))
  .flatMap(file =>
    Array.from(
      readFileSync(join(SRC, file), 'utf8').matchAll(
        /^\s*(?:import|export)\s+(type\s)?[^'";]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)|^import\s+'([^']+)'/gms,
      ),
      ([, type, from, dynamic, bare]) => ({
        file,
        specifier: from ?? dynamic ?? bare ?? '',
        typeOnly: type !== undefined,
      }),
    ),
  );

const folderOf = (file: string) => file.split('/')[0] ?? '';

test('imports point one way', () => {
  const wrong = imports
    .filter(({ file, specifier }) => specifier.startsWith('.') && file.includes('/') && !isTest(file))
    .map(({ file, specifier }) => ({
      file,
      from: folderOf(file),
      to: folderOf(relative(SRC, join(SRC, dirname(file), specifier))),
    }))
    .filter(({ file, from, to }) => !mayImport(file, from, to))
    .map(({ file, from, to }) => `${file} imports ${to}: ${from} is "${FOLDERS[from]?.why}"`);
  assert.deepEqual(wrong, []);
});

test('every folder is in the table', () => {
  const folders = readdirSync(SRC, { withFileTypes: true }).filter(entry => entry.isDirectory());
  assert.deepEqual(
    folders.map(entry => entry.name).filter(name => FOLDERS[name] === undefined),
    [],
  );
});

test('outside modules are confined to the folder that owns them', () => {
  const wrong = imports
    .filter(
      ({ file, specifier }) =>
        !isTest(file) && CONFINED[specifier] && !CONFINED[specifier].to.includes(folderOf(file)),
    )
    .map(({ file, specifier }) => `${file} imports ${specifier}: ${CONFINED[specifier]?.why}`);
  assert.deepEqual(wrong, []);
});
