/** Light, dark, or as the system has it; remembered in the browser. */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

const KEPT = 'varve.theme';
const THEMES = ['system', 'light', 'dark'] as const;

export function Theme() {
  const theme = useSignal(localStorage.getItem(KEPT) ?? 'system');
  useEffect(() => {
    document.documentElement.dataset.theme = theme.value;
    localStorage.setItem(KEPT, theme.value);
  }, [theme.value]);
  return (
    <label class="theme">
      <span class="unseen">Colours</span>
      <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value)}>
        {THEMES.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
    </label>
  );
}
