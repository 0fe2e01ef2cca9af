/** The row of a statement that always gives one. */

/** @throws if there is none: the statement is not what it was taken for */
export function oneRow<T>(rows: readonly T[]): T {
  const [row] = rows;
  if (row === undefined) throw new Error('a statement that always gives a row gave none');
  return row;
}
