/** A store that has lost writes continues with what is left, on request. */
import { isCode } from '../base/errors.ts';
import { newIdentity } from './identity.ts';
import { readAcknowledged } from './sqlite/acknowledged.ts';
import { Database } from './sqlite/database.ts';
import { databaseIn } from './sqlite/files.ts';
import { Tables } from './sqlite/tables.ts';

export interface Loss {
  /** The newest revision that was acknowledged; undefined when it is unknown. */
  readonly acknowledged: bigint | undefined;
  /** The newest revision that is left. */
  readonly left: bigint;
}

/**
 * Everything that is left is examined first; what is damaged is not accepted. The store gets a new cluster id: clients
 * that remember newer revisions must notice.
 * @returns undefined when nothing was lost, and nothing was changed. @throws DatabaseError
 */
export function acceptLoss(dataDir: string): Loss | undefined {
  const path = databaseIn(dataDir);
  try {
    Database.examine(path);
    return undefined;
  } catch (error) {
    if (!isCode(error, 'WRITES_LOST')) throw error;
  }
  const acknowledged = readAcknowledged(path);
  using database = Database.open(path, { acceptLoss: true });
  const tables = new Tables(database);
  newIdentity(tables);
  return {
    acknowledged: typeof acknowledged === 'object' ? acknowledged.revision : undefined,
    left: tables.newestRevision(),
  };
}
