/** The page as its users have it: a browser, a real service, series that were sent over HTTP. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { describeBrowser, type TestPage } from '../support/browser.ts';
import { startService, type RunningService } from '../support/service.ts';

const START = '2026-05-01T09:00:00Z';
const ROWS = 2_000;
const SHA256 = 'ab'.repeat(32);

let service: RunningService;

async function send(path: string, body: unknown): Promise<{ id: string }> {
  const response = await fetch(`${service.url}${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${service.token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as { id: string };
}

interface Wanted {
  readonly name: string;
  readonly species: string;
  readonly unit?: string;
  readonly source?: object;
}

/** A series with two runs and a gap between them. */
async function record({ name, species, unit = 'mV', source }: Wanted): Promise<string> {
  const { id } = await send('/v1/series', {
    name,
    dtype: 'int16',
    unit,
    channels: [{ label: 'I' }, { label: 'II' }],
    tags: { species, age_days: name.length, depth: { value: 300, unit: 'um' } },
    sampling: { kind: 'regular', rate_hz: 250, start: START },
    ...(source && { provenance: { source } }),
  });
  const values = Array.from({ length: ROWS }, (_, i) => [Math.round(900 * Math.sin(i / 30)), (i * 37) % 500]);
  await send(`/v1/series/${id}/samples`, { values });
  await send(`/v1/series/${id}/samples`, { start: '2026-05-01T09:01:00Z', values });
  return id;
}

describeBrowser('the page', (open) => {
  let shown: TestPage;
  let ecgId: string;

  beforeAll(async () => {
    service = await startService();
    ecgId = await record({ name: 'lab/mouse-12/ecg', species: 'mouse' });
    await record({ name: 'lab/mouse-13/ecg', species: 'mouse' });
    await record({ name: 'lab/rat-1/ecg', species: 'rat' });
    const source = { file: 'night.edf', sha256: SHA256 };
    await record({ name: 'night/eeg', species: 'human', unit: 'uV', source });
    await record({ name: 'night/resp', species: 'human', source });
    shown = await open();
  });

  afterAll(async () => {
    await shown.close();
    await service.drop();
  });

  /** A picture for people, where one is wanted. */
  async function picture(name: string, { page } = shown): Promise<void> {
    const folder = process.env.VARVE_TEST_PICTURES;
    if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
  }

  test('asks who one is, says that a token is not valid, and lets a valid one in', async () => {
    const { page } = shown;
    await page.goto(service.url);
    await page.getByLabel('Token').fill('varve_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This token is not valid here.').waitFor();
    expect(await shown.inaccessible()).toEqual([]);
    await picture('1-door');
    await page.getByLabel('Token').fill(service.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('4 results, 5 series').waitFor();
    // The secret is out of reach of scripts, and in no address.
    expect(await page.evaluate('document.cookie')).toBe('');
    expect(page.url()).not.toContain(service.token);
  });

  test('signs a browser in by the printed link, once, and opens what it names', async () => {
    const link = /http\S+\/signin\S*#\S+/.exec(service.output())?.[0] ?? '';
    const guest = await open({ viewport: { width: 390, height: 844 } });
    await guest.page.goto(link);
    await guest.page.getByText('4 results, 5 series').waitFor();
    expect(guest.page.url()).toBe(`${service.url}/`);
    await picture('9-narrow', guest);
    await guest.page.goto(`${service.url}/series/${ecgId}`);
    await guest.page.getByRole('link', { name: 'Find', exact: true }).waitFor();
    expect(guest.page.url()).toBe(`${service.url}/?view=see&series=${ecgId}`);
    await guest.close();
    const late = await open();
    await late.page.goto(link);
    await late.page.getByText('This link has been used, or has expired.').waitFor();
    expect(late.page.url()).toBe(`${service.url}/signin`);
    await late.close();
  });

  test('finds by facets, words and conditions; the address has it all, and back undoes it', async () => {
    const { page } = shown;
    const rows = page.locator('.results tbody tr');
    await expectCount(rows, 4);
    await page.locator('.results svg').first().waitFor();
    await picture('2-find');
    expect(await shown.inaccessible()).toEqual([]);

    await page.getByRole('checkbox', { name: /^mouse/ }).check();
    await expectCount(rows, 2);
    // What is not chosen of a key stays as an alternative.
    await page.getByRole('checkbox', { name: /^rat/ }).check();
    await expectCount(rows, 3);
    await page.getByRole('checkbox', { name: /^rat/ }).uncheck();
    await expectCount(rows, 2);
    await page.getByLabel('Words in name or description').fill('13');
    await expectCount(rows, 1);
    // The address follows what is typed after a moment.
    await page.waitForURL(/[?&]\w+=13(?:&|$)/);
    const address = page.url();
    expect(new URL(address).searchParams.get('where')).toBe('[{"tag":"species","eq":"mouse"}]');

    await page.getByRole('button', { name: '+ condition' }).click();
    await page.getByLabel('Key').fill('depth');
    await page.getByLabel('Operator').selectOption('gt');
    await page.getByRole('combobox', { name: 'Value' }).fill('0.2 mm');
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByText('depth > 0.2 mm').waitFor();
    await expectCount(rows, 1);
    await picture('3-conditions');
    expect(await shown.inaccessible()).toEqual([]);

    await page.goBack();
    await page.getByText('depth > 0.2 mm').waitFor({ state: 'detached' });
    await page.goBack();
    await expectCount(rows, 3);
    await page.goto(address);
    await expectCount(rows, 1);
  });

  test('says that nothing was found, and how to widen the search', async () => {
    const { page } = shown;
    await page.goto(`${service.url}/?q=nothinglikethis`);
    await page.getByText('No series meets all of these conditions.').waitFor();
    await picture('4-empty');
    expect(await shown.inaccessible()).toEqual([]);
    await page.getByRole('button', { name: 'Remove them all' }).click();
    await expectCount(page.locator('.results tbody tr'), 4);
  });

  test('says in a sentence what a search is refused for', async () => {
    const { page } = shown;
    await page.goto(`${service.url}/?where=${encodeURIComponent('[{"tag":"a","bogus":1}]')}`);
    const alert = page.getByRole('alert').filter({ hasText: 'bogus' });
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/^[A-Z][^{]*\./);
  });

  test('keeps a search by name, finds the same by it, and forgets it', async () => {
    const { page } = shown;
    await page.goto(`${service.url}/?where=${encodeURIComponent('[{"tag":"species","eq":"rat"}]')}`);
    await page.getByLabel('Name of this search').fill('all rats');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('link', { name: 'all rats' }).waitFor();
    await page.goto(service.url);
    await page.getByRole('link', { name: 'all rats' }).click();
    await expectCount(page.locator('.results tbody tr'), 1);
    await page.getByRole('button', { name: 'Forget all rats' }).click();
    await page.getByRole('link', { name: 'all rats' }).waitFor({ state: 'detached' });
  });

  test('opens all series of a recording by its row, and all that are found by one button', async () => {
    const { page } = shown;
    await page.goto(service.url);
    await page.getByRole('link', { name: 'night', exact: true }).click();
    expect(new URL(page.url()).searchParams.get('series')?.split(',').length).toBe(2);
    await page.goBack();
    await page.getByRole('button', { name: 'Plot all that are found' }).click();
    expect(new URL(page.url()).searchParams.get('series')?.split(',').length).toBe(5);
  });

  test('shows what is known of a series, changes a tag, and undoes it from the history', async () => {
    const { page } = shown;
    await page.goto(`${service.url}/?view=series&series=${ecgId}`);
    await page.getByRole('heading', { name: 'lab/mouse-12/ecg' }).waitFor();
    // Two runs of eight seconds, a minute apart.
    const gaps = page.getByRole('region', { name: 'Segments', exact: true });
    expect(await gaps.getByRole('row').nth(2).getByRole('cell').last().textContent()).toBe('52 s');
    const chunks = page.getByRole('region', { name: 'Chunks' }).getByRole('row');
    expect(await chunks.nth(1).getByRole('cell').nth(4).textContent()).toMatch(/^[0-9a-f]{8}$/);
    await page.getByRole('button', { name: 'Describe it' }).click();
    await page.getByLabel('Description').fill('At rest, lead I and II');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('description: — → At rest, lead I and II').waitFor();
    await page.getByLabel('Key').fill('rig');
    await page.getByLabel('Value').fill('4');
    await page.getByRole('button', { name: 'Set' }).click();
    await page.getByRole('button', { name: 'Remove rig' }).waitFor();
    await page.getByText('tags.rig: — → 4').waitFor();
    expect(await tagsOf(ecgId)).toMatchObject({ rig: 4 });
    await page.getByRole('button', { name: 'Undo' }).first().click();
    await page.getByRole('button', { name: 'Remove rig' }).waitFor({ state: 'detached' });
    expect(await tagsOf(ecgId)).not.toHaveProperty('rig');
    await picture('5-trust');
    expect(await shown.inaccessible()).toEqual([]);
  });

  test('moves a series to the trash, and has it back', async () => {
    const { page } = shown;
    await page.goto(`${service.url}/?view=series&series=${ecgId}`);
    await page.getByRole('button', { name: 'Delete …' }).click();
    await page.getByRole('button', { name: 'Move it to the trash' }).click();
    await page.getByRole('heading', { name: 'Trash' }).waitFor();
    await page.getByRole('rowheader', { name: 'lab/mouse-12/ecg' }).waitFor();
    await picture('6-trash');
    expect(await shown.inaccessible()).toEqual([]);
    await page.getByRole('button', { name: 'Restore' }).click();
    await page.getByText('is back.').waitFor();
    expect(await tagsOf(ecgId)).toMatchObject({ species: 'mouse' });
  });

  test('shares a series by a link that shows it alone, to read only, until it is revoked', async () => {
    const { page } = shown;
    await page.goto(`${service.url}/?view=series&series=${ecgId}`);
    await page.getByRole('button', { name: 'Share' }).click();
    const link = await page.getByLabel('For 30 days').inputValue();
    const guest = await open();
    await guest.page.goto(link);
    await expectCount(guest.page.locator('.results tbody tr'), 1);
    await guest.page.getByRole('link', { name: 'About lab/mouse-12/ecg' }).click();
    await guest.page.getByRole('heading', { name: 'What it is' }).waitFor();
    expect(await guest.page.getByRole('button', { name: 'Set' }).count()).toBe(0);
    expect(await guest.inaccessible()).toEqual([]);

    await page.getByRole('link', { name: 'Shares' }).click();
    await page.getByRole('button', { name: 'Revoke' }).click();
    await page.getByRole('cell', { name: 'revoked' }).waitFor();
    expect(await shown.inaccessible()).toEqual([]);
    await guest.page.reload();
    await guest.page.getByRole('alert').waitFor();
    expect(guest.complaints()).toEqual([]);
    await guest.close();
  });

  test('shows how the service is, in the dark, too', async () => {
    const { page } = shown;
    await page.goto(`${service.url}/?view=service`);
    await page.getByText('postgres: works').waitFor();
    await page
      .getByText(/commit \d+/)
      .first()
      .waitFor();
    await page.getByLabel('Colours').selectOption('dark');
    await picture('7-service');
    expect(await shown.inaccessible()).toEqual([]);
    await page.getByRole('link', { name: 'Find', exact: true }).click();
    await page.locator('.results svg').first().waitFor();
    await picture('8-find-dark');
    expect(await shown.inaccessible()).toEqual([]);
  });

  test('says that the service is gone, signs out, and has said nothing on the console', async () => {
    const { page } = shown;
    expect(shown.complaints()).toEqual([]);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').fill(service.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expectCount(page.locator('.results tbody tr'), 4);
    await service.stop();
    await page.getByLabel('Words in name or description').fill('ecg');
    await page.getByText('Varve does not answer.').first().waitFor();
  });

  async function tagsOf(id: string): Promise<object> {
    const headers = { Authorization: `Bearer ${service.token}` };
    const response = await fetch(`${service.url}/v1/series/${id}`, { headers });
    return ((await response.json()) as { tags: object }).tags;
  }
});

/** Waits until there are so many rows. */
async function expectCount(rows: ReturnType<TestPage['page']['locator']>, count: number): Promise<void> {
  if (count > 0) await rows.nth(count - 1).waitFor();
  await rows.nth(count).waitFor({ state: 'detached' });
  expect(await rows.count()).toBe(count);
}
