import { Section, Select, setTheme, useTheme, type Theme } from '../ui';

const THEMES: { value: Theme; label: string }[] = [
  { value: 'system', label: 'As the system' },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
];

export const Appearance = () => (
  <Section title="Appearance">
    <Select label="Theme" options={THEMES} value={useTheme()} onChange={setTheme} />
  </Section>
);
