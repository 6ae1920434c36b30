/**
 * What is attached to networks of this host, or was to be, on its disk: a line for each change (src/sys/journal.ts).
 *
 *     {"version":1}
 *     {"id":"5f2c...","engine":"docker","network":"blue","networkId":"9f0c41d2a7e35b68","ips":["10.9.1.2"],
 *      "mac":"02:...","container":"web","names":["web"],"ports":[{"protocol":"tcp","containerPort":80,"hostPort":8080}]}
 *     {"gone":"5f2c..."}
 *
 * It is written before anything is made (`"begun":true`), when all is, and after everything is removed, so that what a killed
 * agent has begun is found.
 */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { formatProblem, messageOf, ParseError, type Problem } from '../../base/errors.ts';
import { Fields, isObject } from '../../base/fields.ts';
import { Ip } from '../../base/ip.ts';
import type { Logger } from '../../base/log.ts';
import { Mac } from '../../base/mac.ts';
import { byFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { isContainerName } from '../../subnet/segment/segment.ts';
import { Journal } from '../../sys/journal.ts';
import type { PublishingNetwork } from '../ports/publisher.ts';
import { isAttachmentId } from './attachment-links.ts';
import { type ContainerAttachment, isContainerEngine, type PublishedMapping } from './attachments.ts';

/** An attachment without what follows from the rest of it. */
export interface RecordedAttachment extends Omit<ContainerAttachment, 'hostLink' | 'containerLink'> {
  /** Of the L2 network; absent for the overlay. */
  readonly networkId?: string;
  /** What its ports are published on; absent where it has none. */
  readonly publishedOn?: Omit<PublishingNetwork, 'name'>;
  /** It is being made: the engine has no answer yet. */
  readonly begun?: true;
  /** Where the container's end was made; absent where the engine moves it. */
  readonly sandbox?: { readonly path: string; readonly link: string };
}

const HEAD = '{"version":1}';
const MOST_NAMES = 64;

export class AttachmentRecord implements AsyncDisposable {
  readonly #journal: Journal;
  readonly #attachments = new Map<string, RecordedAttachment>();
  /** Ids by network and address, and by network and MAC address. */
  readonly #users = new Map<string, string>();

  readonly #logger: Logger;

  /** @param directory of the agent's state */
  constructor(directory: string, logger: Logger) {
    this.#logger = logger;
    const path = join(directory, 'attachments.json');
    this.#journal = new Journal(path, () => linesOfAttachments(this.#attachments.values()));
  }

  /** Reads what the last run has left. @returns why it is not known; a damaged file is kept beside, as evidence */
  async open(): Promise<unknown> {
    try {
      const lines = await this.#journal.read();
      if (lines.length === 0 && !this.#journal.isCut) this.#journal.distrust();
      else for (const one of parseAttachments(lines).values()) this.#enter(one);
      return undefined;
    } catch (error) {
      this.#journal.distrust();
      await rename(this.#journal.path, `${this.#journal.path}.damaged`).catch(() => undefined);
      return error;
    }
  }

  get(id: string): RecordedAttachment | undefined {
    return this.#attachments.get(id);
  }

  values(): Iterable<RecordedAttachment> {
    return this.#attachments.values();
  }

  /** Who is attached with this address, or this MAC address. */
  userOf(network: string, address: Ip | Mac): RecordedAttachment | undefined {
    const id = this.#users.get(`${network} ${address}`);
    return id === undefined ? undefined : this.get(id);
  }

  /** In memory at once; when this resolves it is in the file, unless the disk fails. */
  async set(attachment: RecordedAttachment): Promise<void> {
    this.#remove(attachment.id);
    this.#enter(attachment);
    await this.#write(lineOf(attachment));
  }

  /** As `set`. */
  async delete(id: string): Promise<void> {
    if (this.#remove(id)) await this.#write(JSON.stringify({ gone: id }));
  }

  /** A disk that is full keeps no container from its network: what is attached is written on the links as well. */
  async #write(line: string): Promise<void> {
    try {
      await this.#journal.add([line]);
    } catch (error) {
      this.#logger.warn({ error: messageOf(error) }, 'the record of attachments could not be written');
    }
  }

  #enter(attachment: RecordedAttachment): void {
    this.#attachments.set(attachment.id, attachment);
    for (const key of keysOf(attachment)) this.#users.set(key, attachment.id);
  }

  #remove(id: string): boolean {
    const present = this.#attachments.get(id);
    if (present === undefined) return false;
    this.#attachments.delete(id);
    for (const key of keysOf(present)) if (this.#users.get(key) === id) this.#users.delete(key);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#journal[Symbol.asyncDispose]();
  }
}

const keysOf = ({ network, addresses, mac }: RecordedAttachment) =>
  [...valuesOf(addresses), mac].map(address => `${network} ${address}`);

function lineOf({ addresses, publishedOn, ...attachment }: RecordedAttachment): string {
  const published = publishedOn && {
    bridge: publishedOn.bridge,
    subnets: valuesOf(publishedOn.subnets),
    gateways: valuesOf(publishedOn.gateways),
  };
  return JSON.stringify({ ...attachment, ips: valuesOf(addresses), ...(published && { published }) });
}

/** All of a record. */
export function linesOfAttachments(attachments: Iterable<RecordedAttachment>): readonly string[] {
  return [HEAD, ...Array.from(attachments, lineOf)];
}

/** @throws ParseError for lines that are not those of a record */
export function parseAttachments(lines: readonly string[]): ReadonlyMap<string, RecordedAttachment> {
  const [head = '', ...rest] = lines;
  if (head !== HEAD) throw new ParseError('a record of attachments', head.slice(0, 64), `want ${HEAD}`);
  const attachments = new Map<string, RecordedAttachment>();
  const problems: Problem[] = [];
  for (const [at, line] of rest.entries()) {
    const fields = new Fields(objectIn(line), `line ${at + 2}`, problems);
    const gone = fields.text('gone');
    if (gone !== undefined) {
      attachments.delete(gone);
      continue;
    }
    const attachment = attachmentOf(fields);
    if (attachment !== undefined) attachments.set(attachment.id, attachment);
  }
  if (problems.length === 0) return attachments;
  throw new ParseError('a record of attachments', head, problems.slice(0, 5).map(formatProblem).join('; '));
}

function attachmentOf(fields: Fields): RecordedAttachment | undefined {
  const [id = '', engine = '', network = ''] = [
    fields.text('id'),
    fields.text('engine'),
    fields.text('network'),
  ];
  const [networkId, container = ''] = [fields.text('networkId'), fields.text('container')];
  const mac = fields.parsed('mac', Mac.parse, 'a MAC address');
  const ips = listOf(fields.value('ips'), ipOf);
  const names = listOf(fields.value('names'), nameIn) ?? [];
  const ports = listOf(fields.value('ports'), portOf) ?? [];
  const sandbox = sandboxOf(fields.value('sandbox'));
  const publishedOn = publishedIn(fields.value('published'));
  if (!isAttachmentId(id) || !isContainerEngine(engine) || mac === undefined || ips === undefined) {
    return fields.problem('id', 'or engine, mac or ips is missing or wrong');
  }
  if (network === '' || !isContainerName(container))
    return fields.problem('network', 'or container is missing');
  return {
    id,
    engine,
    network,
    ...(networkId !== undefined && { networkId }),
    addresses: byFamily(...ips),
    mac,
    container,
    names: names.slice(0, MOST_NAMES),
    ports,
    ...(sandbox && { sandbox }),
    ...(fields.value('begun') === true && { begun: true as const }),
    ...(publishedOn && { publishedOn }),
  };
}

/** undefined when one of it is wrong. */
function listOf<T>(value: unknown, itemOf: (item: unknown) => T | undefined): readonly T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value.map(itemOf);
  return items.every(item => item !== undefined) ? items : undefined;
}

const ipOf = (value: unknown) => (typeof value === 'string' ? Ip.tryParse(value) : undefined);
const nameIn = (value: unknown) => (typeof value === 'string' ? value : undefined);

function portOf(value: unknown): PublishedMapping | undefined {
  if (!isObject(value)) return undefined;
  const { protocol, containerPort, hostPort, hostPortEnd, hostIp, isHeldByEngine } = value as Record<
    string,
    unknown
  >;
  const ip = hostIp === undefined ? undefined : ipOf(hostIp);
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') return undefined;
  if (!isPort(containerPort) || !isPort(hostPort) || (hostIp !== undefined && ip === undefined))
    return undefined;
  return {
    protocol,
    containerPort,
    hostPort,
    ...(isPort(hostPortEnd) && { hostPortEnd }),
    ...(ip && { hostIp: ip }),
    ...(isHeldByEngine === true && { isHeldByEngine }),
  };
}

const isPort = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;

function publishedIn(value: unknown): RecordedAttachment['publishedOn'] | undefined {
  const { bridge, subnets, gateways } = isObject(value) ? (value as Record<string, unknown>) : {};
  const prefixes = listOf(subnets, text => (typeof text === 'string' ? Prefix.tryParse(text) : undefined));
  const ips = listOf(gateways, ipOf);
  if (typeof bridge !== 'string' || prefixes === undefined || ips === undefined) return undefined;
  return { bridge, subnets: byFamily(...prefixes), gateways: byFamily(...ips) };
}

function sandboxOf(value: unknown): RecordedAttachment['sandbox'] | undefined {
  const { path, link } = isObject(value) ? (value as Record<string, unknown>) : {};
  return typeof path === 'string' && typeof link === 'string' ? { path, link } : undefined;
}

function objectIn(text: string): object {
  try {
    const parsed: unknown = JSON.parse(text);
    if (isObject(parsed)) return parsed;
  } catch {
    // No JSON is as wrong as any other.
  }
  throw new ParseError('a record of attachments', text.slice(0, 64), 'want a JSON object');
}
