import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './style.css';
import { createRoot } from 'react-dom/client';
import { Explorer } from './Explorer';

// GraphiQL asks for the editor only after its first render. Asking now lets both load side by side.
void import('monaco-graphql/esm/monaco-editor.js');

const place = document.getElementById('explorer');
if (place) createRoot(place).render(<Explorer />);
