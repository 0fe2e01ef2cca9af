/** A promise that was broken. */
export class Finding extends Error {
  override readonly name = 'Finding';
}

/** @throws Finding unless the condition holds */
export function demand(condition: boolean, what: () => string): asserts condition {
  if (!condition) throw new Finding(what());
}
