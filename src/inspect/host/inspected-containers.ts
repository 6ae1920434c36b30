/** The containers of a host as it reports them. */
import type { InspectedContainer } from '../../api/inspection.ts';
import type { Container } from './containers.ts';
import type { HostReader } from './host-reader.ts';

/** On the overlay or not; those without an address too. One that ends meanwhile has none. */
export async function inspectedContainers(host: HostReader): Promise<InspectedContainer[]> {
  return await Promise.all((await host.containers()).map(inspected));
}

async function inspected({ name, inside, links }: Container): Promise<InspectedContainer> {
  const [first] = links;
  const addresses = await inside.addresses().catch(() => []);
  const own = addresses.filter(({ index }) => links.some(({ inner }) => inner.index === index));
  return {
    name,
    addresses: own.map(({ ip }) => String(ip)),
    ...(first && { hostLink: first.outer.name }),
    ...(first?.bridge && { bridge: first.bridge.name }),
  };
}
