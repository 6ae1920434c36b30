/** Which pages of the guide show which scenario. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SCENARIO_NAMES } from '../../src/lab/scenario/catalogue.ts';

export const GUIDE = join(import.meta.dirname, '../../docs/guide/learn');

/** Each language has a folder: English the guide's own, the others theirs. */
export const LANGUAGES = ['', 'zh'] as const;

/** `1-netns-veth.md`, in the order of the catalogue. */
export const pageName = (scenario: string): string =>
  `${SCENARIO_NAMES.indexOf(scenario) + 1}-${scenario}.md`;

/** Paths of the pages about a scenario, one per language, whether or not they exist. */
export const pagesOf = (scenario: string): string[] =>
  LANGUAGES.map(language => join(GUIDE, language, pageName(scenario)));

export const existingPagesOf = (scenario: string): string[] => pagesOf(scenario).filter(existsSync);
