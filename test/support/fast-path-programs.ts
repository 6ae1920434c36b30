/** Stand-ins for the programs of the fast path: they count the packets that they see, and let them go on. */
import { Assembler } from '../../src/bpf/assembler.ts';
import { FP, R0, R1, R2 } from '../../src/bpf/instructions.ts';
import type { BuildProgram } from '../../src/fastpath/loaded-programs.ts';

/** @param version of the instructions: programs of another one are other programs */
export const countingPrograms =
  (version = 0): BuildProgram =>
  (fullName, maps) => {
    const [role = '', vni = '0'] = fullName.split(' ');
    const text = new Assembler()
      .move(R2, Number(vni))
      .move(R2, version)
      .loadMap(R1, maps.config)
      .loadMap(R1, maps.flows)
      .loadMap(R1, maps.cleared)
      .loadMap(R1, maps.tunnels)
      .loadMap(R1, maps.unproven)
      // The first reason stands for every packet.
      .store(FP, -4, 0, 4)
      .loadMap(R1, maps.reasons)
      .move(R2, FP)
      .add(R2, -4)
      .call('map_lookup_elem')
      .jumpIf(R0, '==', 0, 'end')
      .move(R1, 1)
      .atomicAdd(R0, 0, R1, 8)
      .label('end')
      .move(R0, -1)
      .exit();
    return { type: 'traffic control', name: `tulle_${role}`, instructions: text.finish() };
  };
