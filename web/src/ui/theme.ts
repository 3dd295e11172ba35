/** Dark, light or the system's; kept in localStorage, where the browser allows it. */
import { signal } from '@preact/signals';

export type Theme = 'dark' | 'light' | 'system';
const ORDER: Theme[] = ['dark', 'light', 'system'];
function stored(): Theme {
  try { const value = localStorage.getItem('qflowd.theme') as Theme; return ORDER.includes(value) ? value : 'dark'; } catch { return 'dark'; }
}
export const theme = signal<Theme>(stored());
const system = matchMedia('(prefers-color-scheme: light)');
/** What is shown now; charts redraw with it. */
export const shown = signal<'dark' | 'light'>('dark');

export function applyTheme(): void {
  shown.value = theme.value === 'system' ? (system.matches ? 'light' : 'dark') : theme.value;
  document.documentElement.dataset.theme = shown.value;
}
system.addEventListener('change', applyTheme);
export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] ?? 'dark';
  try { localStorage.setItem('qflowd.theme', theme.value); } catch { /* private mode: it lasts until the reload */ }
  applyTheme();
}
