/**
 * What a lease and this host have in common, and what that proves. Three marks distinguish hosts, and each fails in a
 * way of its own:
 *
 *     id         on the disk: lost with it, and copied with it
 *     address    in the network: goes to another host when this one is gone
 *     machine    the hardware: changes when a part is replaced
 *
 * So no mark alone is a proof, and the holder of a lease decides while it runs: see lease/claim.ts. Which host gets which
 * lease is a table in docs/decisions/0010-identity.md.
 */
import { type LeaseAttributes, shareAddress } from '../lease/lease.ts';

export type Evidence =
  /** It is this host's lease. */
  | 'certain'
  /** It is, unless its holder runs. */
  | 'likely'
  /** It has our id alone: this host's disk was copied from the holder's. */
  | 'copy'
  /** It belongs to another host. */
  | 'none';

type Own = LeaseAttributes & { readonly hostId: string };

/** Evidence that a lease with these attributes is that of the host that publishes `own`. */
export function evidenceOf(found: LeaseAttributes, own: Own): Evidence {
  const isSameId = found.hostId === own.hostId;
  // A reservation for an id that no host has used yet: it was made for that id.
  if (found.hostId !== undefined && !isUsed(found)) return isSameId ? 'certain' : 'none';
  const sharesAddress = shareAddress(own, found);
  const isMachineKnown = found.machine !== undefined && own.machine !== undefined;
  const isSameMachine = isMachineKnown && found.machine === own.machine;
  if (!isSameId) return sharesAddress || isSameMachine ? 'likely' : 'none';
  if (isSameMachine) return 'certain';
  if (isMachineKnown) return sharesAddress ? 'likely' : 'copy';
  return sharesAddress ? 'certain' : 'likely';
}

const isUsed = ({ backendType, machine }: LeaseAttributes) =>
  backendType !== undefined || machine !== undefined;
