import 'uplot/dist/uPlot.min.css';
import './style.css';
import { render } from 'preact';
import { App } from './ui/App';
import { applyTheme } from './ui/theme';
import { now } from './store';
import { watchRoute } from './routes';
import { startSocket } from './socket';
import { loadHistory } from './history';

applyTheme();
watchRoute();
setInterval(() => { if (!document.hidden) now.value = Date.now(); }, 1000);
document.addEventListener('visibilitychange', () => { now.value = Date.now(); });
render(<App />, document.getElementById('app')!);
startSocket();
void loadHistory();
// Browsers allow it on https and on localhost; elsewhere the page needs the daemon to be loaded.
if ('serviceWorker' in navigator) void navigator.serviceWorker.register('/static/shell.js', { scope: '/dashboard' }).catch(() => undefined);
