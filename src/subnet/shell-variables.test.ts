import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fc } from '../testing/properties.ts';
import { parseShellVariables } from './shell-variables.ts';

const read = (text: string) => Object.fromEntries(parseShellVariables(text));

// H5: a subnet file with quotes or export was not read by every reader.
describe('H5: variables are read as a shell reads them', () => {
  const cases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    'A=1\nB=2\n': { A: '1', B: '2' },
    'A=1\r\nB="2"\r\n': { A: '1', B: '2' },
    'export A="10.5.34.1/24"': { A: '10.5.34.1/24' },
    "\texport  A='10.5.34.1/24' # ours": { A: '10.5.34.1/24' },
    '# A=1\n  #B=2\nC=3#4': { C: '3#4' },
    'A="#1"': { A: '#1' },
    'A=1; B=2 C=3': { A: '1', B: '2', C: '3' },
    'A=1\nA=2': { A: '2' },
    'A=\nB=1': { A: '', B: '1' },
    'A=""': { A: '' },
    'A="a \\"b\\""': { A: 'a "b"' },
    'A=a\\ b': { A: 'a b' },
    'A="two\nlines"': { A: 'two\nlines' },
  };
  for (const [text, variables] of Object.entries(cases)) {
    test(JSON.stringify(text), () => assert.deepEqual(read(text), variables));
  }

  test('what people write beside it', () => {
    assert.deepEqual(read('A = 1'), { A: '1' });
    assert.deepEqual(read('\uFEFFA=1'), { A: '1' });
    assert.deepEqual(read('A\n=\n[Service]\nx-A=1\nB=2'), { B: '2' });
    assert.deepEqual(read('A="open\nB=2'), { A: '', B: '2' });
  });

  test('a shell has the same values', () => {
    const value = fc.string({ unit: fc.constantFrom(...Array.from('a1./ #=;\\"\'$\n')), maxLength: 12 });
    const quoted = fc.oneof(
      value.map(text => `"${text.replaceAll(/["\\$`]/g, '')}"`),
      value.map(text => `'${text.replaceAll("'", '')}'`),
      value.map(text => text.replaceAll(/[\s;"'\\$]/g, '')),
    );
    const line = fc.tuple(fc.constantFrom('', 'export '), fc.constantFrom('', ' # A="9"'), quoted);
    fc.assert(
      fc.property(line, ([prefix, comment, text]) => {
        const script = `${prefix}A=${text}${comment}\n`;
        const said = execFileSync('sh', ['-c', `${script}printf %s. "$A"`], { encoding: 'utf8' });
        assert.equal(`${read(script)['A']}.`, said, JSON.stringify(script));
      }),
      { numRuns: 100 },
    );
  });
});
