/**
 * What follows from an object that never changes, worked out once for each such object and as long as there is that object.
 * Whoever is given a whole list each time, most of it as before, then does the work for what is new in it.
 */
export function remembered<Key extends object, T>(work: (key: Key) => T): (key: Key) => T {
  const results = new WeakMap<Key, { readonly result: T }>();
  return key => {
    const known = results.get(key) ?? { result: work(key) };
    results.set(key, known);
    return known.result;
  };
}
