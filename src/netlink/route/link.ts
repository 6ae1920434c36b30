/** Links between our objects and the kernel's messages. */
import type { Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { type BridgePort, decodeBridgePort, encodeBridgePort } from './bridge-port.ts';
import { IFF_LOWER_UP, IFF_UP, IFNAMSIZ, RTEXT_FILTER_SKIP_STATS } from './constants.ts';
import { decodeLinkInfo, encodeLinkInfo } from './link-kind.ts';
import { ANY_LINK, linkMessage } from './link-message.ts';
import type { Link, LinkChange, NewLink } from './objects.ts';

/** The request for one link, or with `undefined` for all of them; counters are never asked for. */
export function encodeLinkQuery(nameOrIndex: string | number | undefined): Uint8Array {
  return linkMessage.encode(
    { ...ANY_LINK, index: typeof nameOrIndex === 'number' ? nameOrIndex : 0 },
    {
      ...(typeof nameOrIndex === 'string' ? nameAttribute(nameOrIndex) : {}),
      extMask: RTEXT_FILTER_SKIP_STATS,
    },
  );
}

export function writeNewLink(writer: Writer, link: NewLink): void {
  const { name, mac: address, mtu, lower, master, txQueueLength, netnsFd, info, up } = link;
  linkMessage.write(
    writer,
    { ...ANY_LINK, ...upFlag(up) },
    { name, mac: address, mtu, lower, master, txQueueLength, netnsFd, info: encodeLinkInfo(info) },
  );
}

/** @param nameOrIndex an index when the name is to change. */
export function writeLinkChange(writer: Writer, nameOrIndex: string | number, change: LinkChange): void {
  const { name, mac: address, mtu, master, txQueueLength, netnsFd, targetNetnsId, alias, group, up } = change;
  linkMessage.write(
    writer,
    { ...ANY_LINK, index: typeof nameOrIndex === 'number' ? nameOrIndex : 0, ...upFlag(up) },
    {
      ...(typeof nameOrIndex === 'string' ? nameAttribute(nameOrIndex) : { name }),
      mac: address,
      mtu,
      master,
      txQueueLength,
      netnsFd,
      targetNetnsId,
      alias,
      group,
      info: changedInfo(change),
    },
  );
}

/**
 * Without what has no name here: a link has 1 KB of that (counters, settings of each family), and is announced some twenty
 * times while a container comes and goes. @throws CodecError
 */
export function decodeLink(payload: Uint8Array): Link {
  const { header, attributes: found } = linkMessage.decode(payload, false);
  return defined({
    index: header.index,
    name: found.name ?? '',
    type: header.type,
    flags: header.flags,
    up: (header.flags & IFF_UP) !== 0,
    running: (header.flags & IFF_LOWER_UP) !== 0,
    mtu: found.mtu,
    mac: found.mac,
    master: found.master,
    lower: found.lower,
    operState: found.operState,
    txQueueLength: found.txQueueLength,
    alias: found.alias,
    group: found.group || undefined,
    altNames: found.properties?.altNames,
    netnsId: found.netnsId,
    movedTo: movedTo(found.newNetnsId, found.newIndex),
    info: decodeLinkInfo(found.info?.kind, found.info?.data),
    port: decodePort(found.info),
    xdpProgram: found.xdp?.programId,
  });
}

/** Of the link's own kind, and of the bridge's port that it is. */
function changedInfo({ info, port }: LinkChange) {
  const ofPort = port && { portKind: 'bridge', portData: encodeBridgePort(port) };
  return info === undefined ? ofPort : { ...encodeLinkInfo(info), ...ofPort };
}

function decodePort(
  info: ReturnType<typeof linkMessage.decode>['attributes']['info'],
): BridgePort | undefined {
  const { portKind, portData } = info ?? {};
  return portKind === 'bridge' && portData !== undefined ? decodeBridgePort(portData) : undefined;
}

/** A bridge's own announcement about a port; undefined when it says nothing of how it treats it. @throws CodecError */
export function decodePortOfBridge(
  payload: Uint8Array,
): { readonly index: number; readonly port: BridgePort } | undefined {
  const { header, attributes: found } = linkMessage.decode(payload);
  const { protocolInfo } = found;
  return protocolInfo && { index: header.index, port: decodeBridgePort(protocolInfo) };
}

function movedTo(netnsId: number | undefined, index: number | undefined): Link['movedTo'] | undefined {
  return netnsId === undefined || index === undefined ? undefined : { netnsId, index };
}

/** A name longer than the kernel's own can only be an alternative one. */
function nameAttribute(name: string): { name: string } | { altName: string } {
  return name.length < IFNAMSIZ ? { name } : { altName: name };
}

function upFlag(up: boolean | undefined): { flags?: number; change?: number } {
  return up === undefined ? {} : { flags: up ? IFF_UP : 0, change: IFF_UP };
}
