import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plotLines } from './plot.ts';

const plot = {
  title: 'a < b',
  x: 'peers',
  y: 'milliseconds',
  series: [
    {
      name: 'slow',
      points: [
        [10, 100],
        [1000, 10_000],
      ] as const,
    },
    {
      name: 'fast',
      points: [
        [10, 10],
        [1000, 1000],
      ] as const,
    },
    { name: 'not measured', points: [] },
  ],
};

const pointsOf = (svg: string) => [...svg.matchAll(/points="([^"]*)"/g)].map(([, points = '']) => points);

test('a factor is the same distance everywhere, and what was not measured is not drawn', () => {
  const svg = plotLines(plot);
  const [slow, fast, ...more] = pointsOf(svg).map(line =>
    line.split(' ').map(point => point.split(',').map(Number)),
  );
  assert.deepEqual(more, []);
  assert.ok(slow && fast);
  const gaps = slow.map(([, y = 0], index) => (fast[index]?.[1] ?? 0) - y);
  assert.equal(gaps[0]?.toFixed(0), gaps[1]?.toFixed(0));
  assert.ok((gaps[0] ?? 0) > 0, 'more milliseconds are higher up');
  assert.match(svg, />slow<.*>fast</s);
  assert.doesNotMatch(svg, /not measured/);
});

test('text is escaped, and a single point has a place', () => {
  assert.match(plotLines(plot), />a &lt; b</);
  const single = plotLines({ ...plot, series: [{ name: 'one', points: [[20_000, 700]] }] });
  assert.match(pointsOf(single)[0] ?? '', /^\d+\.\d,\d+\.\d$/);
  assert.match(single, />20,000</);
});

test('names at the ends of lines do not cover each other, nor leave the picture', () => {
  const names = ['the first of all', 'the second', 'the third', 'the fourth'];
  const svg = plotLines({
    ...plot,
    series: names.map((name, index) => ({ name, points: [[1, 1] as const, [10, 10_000 + index] as const] })),
  });
  const labels = [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"[^>]*font-weight="bold">([^<]*)</g)]
    .map(([, x, y, name = '']) => ({ x: Number(x), y: Number(y), name }))
    .filter(({ name }) => names.includes(name));
  const heights = labels.map(({ y }) => y).sort((a, b) => a - b);
  assert.equal(heights.length, 4);
  for (const [index, height] of heights.slice(1).entries()) assert.ok(height - (heights[index] ?? 0) > 13);
  for (const { x, name } of labels) assert.ok(x + name.length * 8 < 720, name);
});
