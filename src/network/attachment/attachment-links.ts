/** What the links of an attachment are called: the same after every restart, without a record. */
import { createHash } from 'node:crypto';

export interface AttachmentLinks {
  /** `tv1f0c41d2a7e3`: the host's end, a port of the bridge. */
  readonly host: string;
  /** `te1f0c41d2a7e3`: the container's end, while it is in the namespace of the host. */
  readonly container: string;
}

/** @param id of the attachment */
export function attachmentLinks(id: string): AttachmentLinks {
  const digest = createHash('sha256').update(`tulle attachment ${id}`).digest('hex').slice(0, 12);
  return { host: `tv${digest}`, container: `te${digest}` };
}

/** Whether an id can be that of an attachment: 1 to 100 printable ASCII characters without spaces. */
export function isAttachmentId(id: string): boolean {
  return /^[\x21-\x7e]{1,100}$/.test(id);
}
