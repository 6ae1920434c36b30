/** What a flag of the agent is (flags.ts has all of them). */
export const FLAG_GROUPS = {
  store: 'Store:',
  underlay: 'Underlay (the network that carries the tunnels):',
  lease: 'Subnet:',
  firewall: 'Firewall:',
  health: 'Health and metrics (their ports are off by default):',
  peers: 'Answers to other hosts (on where this host has a certificate):',
  names: 'Names of containers:',
  host: 'This host:',
} as const;

interface FlagBase {
  readonly name: string;
  readonly group: keyof typeof FLAG_GROUPS;
  readonly help: string;
}

export type Flag = FlagBase &
  (
    | { readonly kind: 'string'; readonly value: string; readonly default: string }
    | { readonly kind: 'strings'; readonly value: string; readonly default: '' }
    | { readonly kind: 'boolean'; readonly default: boolean }
    | {
        readonly kind: 'integer';
        readonly value: string;
        readonly default: number;
        readonly min: number;
        readonly max: number;
        /** A value out of range is taken for the nearest in it, with a warning: flannel starts with any. */
        readonly lenient?: true;
      }
  );
