/**
 * Fuzzes every parser of outside input.
 *
 *     npm run fuzz
 *     npm run fuzz -- --inputs 5000000 --seed 7
 *
 * Prints how many inputs each parser took and refused; a bug ends it with the input that shows it, and exit code 1.
 */
import { parseArgs } from 'node:util';
import { fuzz } from '../test/fuzz/fuzz.ts';
import { fuzzTargets } from '../test/fuzz/targets.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
  },
});
const started = performance.now();
process.stdout.write(`seed ${values.seed}\n`);
for (const { name, inputs, accepted } of fuzz(fuzzTargets, Number(values.inputs), Number(values.seed))) {
  process.stdout.write(`${name}: ${inputs} inputs, ${accepted} accepted, ${inputs - accepted} refused\n`);
}
process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
