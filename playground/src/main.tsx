import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './chat/App';

createRoot(document.getElementById('kith')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
