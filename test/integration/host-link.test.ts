/** A device of ours, when the news of what became of it comes late. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { HostLink } from '../../src/dataplane/links/host-link.ts';
import { Sysctls } from '../../src/dataplane/links/sysctls.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { KernelEvent } from '../../src/netlink/route/rtnetlink.ts';
import { sysctlsOf } from '../../src/sys/sysctl.ts';
import { needsRoot } from '../support/capabilities.ts';
import { deadline } from '../support/eventually.ts';
import { DEVICE, device, TestHost } from './dataplane-host.ts';

test(
  'a device is followed into another namespace when the move is announced after the loss',
  needsRoot,
  async () => {
    using host = new TestHost();
    using other = new TestHost();
    await using rtnetlink = connectRoute({ netns: host.netns });
    using sysctls = new Sysctls(sysctlsOf(host.netns), () => undefined);
    const link = new HostLink(
      { network: 'overlay', link: device(host), addresses: [], sysctls: [], networks: [] },
      {
        rtnetlink,
        sysctls,
        onRepair: () => undefined,
        caughtUp: () => Promise.resolve(),
        ownLink: () => undefined,
        attempt: (_link, _what, work) => work(),
      },
    );
    await link.ensure();

    const late = deadline('the kernel says that the device is gone');
    const events = rtnetlink.watch(['link'], late);
    host.sh(`ip link set ${DEVICE} netns /proc/${process.pid}/fd/${other.netns.fd}`);
    await assert.rejects(link.ensure(), { code: 'VNI_IN_USE' });

    const isEnd = (event: KernelEvent) => event.type === 'link' && event.gone && event.link.name === DEVICE;
    for await (const event of events) {
      link.observe(event);
      if (isEnd(event)) break;
    }
    late.throwIfAborted();
    assert.equal(link.processPending(), true, 'there is something to do');
    await link.ensure();
    assert.equal(link.index, host.indexOf(DEVICE));
    assert.doesNotMatch(other.sh('ip link'), /flannel/);
  },
);
