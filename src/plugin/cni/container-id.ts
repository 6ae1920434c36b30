/** How a container of CNI is called: among attachments, and by people. */
import { createHash } from 'node:crypto';
import { isContainerName } from '../../subnet/segment/segment.ts';

const digest = (text: string, length: number) =>
  createHash('sha256').update(text).digest('hex').slice(0, length);

/** The longest is `default-` and 64 hex digits, of nerdctl. */
const LONGEST = 73;

/** What ids of the attachments of one configuration begin with. @param name of its list */
export const idPrefixOf = (name: string): string => `${digest(name, 8)}/`;

/** Of the attachment: the same for the same call, at most 100 characters. A container may be in several networks. */
export function attachmentIdOf(name: string, containerId: string, link: string): string {
  const container = containerId.length <= LONGEST ? containerId : digest(containerId, 64);
  return `${idPrefixOf(name)}${container}/${link}`;
}

/**
 * For people, and for an address that is to be kept: podman and kubelet say the name of a container or pod in CNI_ARGS,
 * nerdctl its host name; others say nothing.
 */
export function containerNameOf(args: ReadonlyMap<string, string>, containerId: string): string {
  const [name, namespace] = [args.get('K8S_POD_NAME'), args.get('K8S_POD_NAMESPACE')];
  const pod = name && namespace ? `${namespace}/${name}` : name;
  const known = pod || args.get('NERDCTL_CNI_DHCP_HOSTNAME') || containerId;
  return isContainerName(known) ? known : containerId.slice(0, 128);
}

/** podman says no namespace, which kubelet always does. It listens at published ports itself. */
export const isPodman = (args: ReadonlyMap<string, string>): boolean =>
  args.has('K8S_POD_NAME') && !args.has('K8S_POD_NAMESPACE');
