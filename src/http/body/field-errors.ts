/** A schema's complaints as named fields. */
import type { z } from 'zod';
import { VarveError, type FieldError } from '../../core/errors.ts';

/** Fields named in one answer; a list may have thousands of wrong items. */
const MAX_NAMED_FIELDS = 100;

type Issue = z.core.$ZodIssue;

/**
 * The value as the schema reads it.
 * @param whole what to call the value itself, where no field is to blame
 * @throws invalid-input naming each field
 */
export function parseWith<S extends z.ZodType>(schema: S, value: unknown, whole: string): z.output<S> {
  const result = schema.safeParse(value);
  if (!result.success) throw invalidFields(result.error.issues.flatMap((issue) => fieldErrors(issue, whole)));
  return result.data;
}

/** Several malformed fields at once. */
function invalidFields(errors: readonly FieldError[]): VarveError {
  const [first] = errors;
  const text = first ? `${first.field}: ${first.message}` : 'is not as it should be';
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return new VarveError('invalid-input', `${text}${more}`, { errors: errors.slice(0, MAX_NAMED_FIELDS) });
}

function fieldErrors(issue: Issue, whole: string, prefix: readonly PropertyKey[] = []): FieldError[] {
  const path = [...prefix, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ field: fieldName([...path, key], whole), message: 'is not known here' }));
  }
  if (issue.code === 'invalid_union') {
    // The alternative that could be entered is the one that was meant.
    const meant = issue.errors.find((issues) => issues.some((inner) => inner.path.length > 0));
    if (meant) return meant.flatMap((inner) => fieldErrors(inner, whole, path));
  }
  if (issue.code === 'invalid_key') {
    return issue.issues.map((inner) => ({ field: fieldName(path, whole), message: `as a key: ${wording(inner)}` }));
  }
  return [{ field: fieldName(path, whole), message: wording(issue) }];
}

function wording(issue: Issue): string {
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) return 'is required';
  return issue.message.replace(/^(Invalid input|Too small|Too big|Invalid option): /, '');
}

/** `channels[1].unit`, `tags["heart rate"]` */
export function fieldName(path: readonly PropertyKey[], whole: string): string {
  let name = '';
  for (const part of path) {
    if (typeof part === 'number') name += `[${part}]`;
    else if (!/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(String(part)) && name !== '')
      name += `[${JSON.stringify(String(part))}]`;
    else name += name === '' ? String(part) : `.${String(part)}`;
  }
  return name || whole;
}
