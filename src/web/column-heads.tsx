/** The heads of a table's columns. */

interface ColumnHeadsProps {
  readonly names: readonly string[];
  /** Name of a last column of buttons, for those who hear it. */
  readonly unseen?: string;
}

export function ColumnHeads({ names, unseen }: ColumnHeadsProps) {
  return (
    <thead>
      <tr>
        {names.map((name) => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
        {unseen === undefined ? null : (
          <th scope="col">
            <span class="unseen">{unseen}</span>
          </th>
        )}
      </tr>
    </thead>
  );
}
