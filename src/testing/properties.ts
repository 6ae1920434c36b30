/**
 * fast-check that draws the same values in every run: in `npm test` a find of chance would stop somebody else's change. Others are
 * drawn with TULLE_PROPERTY_SEED, a number or `random`; what fails prints the seed that repeats it.
 */
import fc from 'fast-check';

const { TULLE_PROPERTY_SEED = '20261' } = process.env;
if (TULLE_PROPERTY_SEED !== 'random') fc.configureGlobal({ seed: Number(TULLE_PROPERTY_SEED) });

export { fc };
