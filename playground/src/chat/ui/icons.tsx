// Drawn on a grid of 20, one stroke wide, in the colour of the text around them.
import type { ReactNode } from 'react';

const icon = (drawing: ReactNode) =>
  function Icon({ size = 20 }: { size?: number }) {
    return (
      <svg width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth={1.6} strokeLinecap="round" strokeLinejoin="round" aria-hidden>
        {drawing}
      </svg>
    );
  };

export const BackIcon = icon(<path d="M12 4.5 6.5 10l5.5 5.5" />);
export const CloseIcon = icon(<path d="m5.5 5.5 9 9m0-9-9 9" />);
export const CheckIcon = icon(<path d="m4.5 10.5 3.5 3.5 7.5-8" />);
export const ChevronDownIcon = icon(<path d="m5.5 8 4.5 4.5L14.5 8" />);
export const PlusIcon = icon(<path d="M10 4v12M4 10h12" />);
export const MoreIcon = icon(
  <g fill="currentColor" stroke="none">
    <circle cx="4.5" cy="10" r="1.5" />
    <circle cx="10" cy="10" r="1.5" />
    <circle cx="15.5" cy="10" r="1.5" />
  </g>,
);
export const SearchIcon = icon(
  <>
    <circle cx="8.75" cy="8.75" r="5.25" />
    <path d="m12.75 12.75 4 4" />
  </>,
);
export const EyeIcon = icon(
  <>
    <path d="M2 10c2-3.5 4.7-5.25 8-5.25S16 6.5 18 10c-2 3.5-4.7 5.25-8 5.25S4 13.5 2 10Z" />
    <circle cx="10" cy="10" r="2.25" />
  </>,
);
export const EyeOffIcon = icon(
  <>
    <path d="M7.5 5.1c.8-.24 1.63-.35 2.5-.35 3.3 0 6 1.75 8 5.25-.7 1.22-1.48 2.23-2.34 3.02M13 14.7c-.94.37-1.94.55-3 .55-3.3 0-6-1.75-8-5.25.78-1.37 1.67-2.47 2.67-3.31" />
    <path d="m3.5 3.5 13 13" />
  </>,
);
export const CopyIcon = icon(
  <>
    <rect x="7" y="7" width="9.5" height="9.5" rx="2" />
    <path d="M13 4.75A1.75 1.75 0 0 0 11.25 3.5h-6A1.75 1.75 0 0 0 3.5 5.25v6A1.75 1.75 0 0 0 4.75 13" />
  </>,
);
export const LinkIcon = icon(
  <>
    <path d="M8.5 11.5a3 3 0 0 0 4.3.2l2.8-2.8a3.04 3.04 0 0 0-4.3-4.3l-.9.9" />
    <path d="M11.5 8.5a3 3 0 0 0-4.3-.2l-2.8 2.8a3.04 3.04 0 0 0 4.3 4.3l.9-.9" />
  </>,
);
export const MailIcon = icon(
  <>
    <rect x="2.75" y="4.5" width="14.5" height="11" rx="2" />
    <path d="m3.5 6 6.5 5 6.5-5" />
  </>,
);
export const PersonIcon = icon(
  <>
    <circle cx="10" cy="6.75" r="3.25" />
    <path d="M3.75 16.75c.6-3.3 2.9-5 6.25-5s5.65 1.7 6.25 5" />
  </>,
);
export const PeopleIcon = icon(
  <>
    <circle cx="7.5" cy="7" r="2.75" />
    <path d="M2.25 15.75c.45-2.8 2.25-4.25 5.25-4.25s4.8 1.45 5.25 4.25M12.75 4.6a2.5 2.5 0 0 1 0 4.8M14.75 11.9c1.6.5 2.6 1.8 3 3.85" />
  </>,
);
export const PersonAddIcon = icon(
  <>
    <circle cx="8" cy="7" r="3" />
    <path d="M2.25 16c.55-3 2.55-4.5 5.75-4.5 1.35 0 2.48.27 3.37.8M15 11.5v5M12.5 14h5" />
  </>,
);
export const ChatIcon = icon(<path d="M10 3.5c4.15 0 7.25 2.65 7.25 6.15S14.15 15.8 10 15.8c-.75 0-1.47-.09-2.15-.25L4 17l.7-2.93C3.44 12.96 2.75 11.4 2.75 9.65 2.75 6.15 5.85 3.5 10 3.5Z" />);
export const SettingsIcon = icon(
  <>
    <path d="M3 6h6.5M14.5 6H17M3 14h2.5M10.5 14H17" />
    <circle cx="12" cy="6" r="2.25" />
    <circle cx="8" cy="14" r="2.25" />
  </>,
);
export const SendIcon = icon(<path d="M3.5 9.75 16.5 3.5l-4.25 13-2.75-5.25zM9.5 11.25l7-7.75" />);
export const ReplyIcon = icon(<path d="M8 5 3.5 9.5 8 14M4 9.5h6.5c3.3 0 5.5 1.9 6 5.5" />);
export const EditIcon = icon(<path d="M12.75 4.25 15.75 7.25M4 16l.75-3.75 8-8a1.41 1.41 0 0 1 2 0l1 1a1.41 1.41 0 0 1 0 2l-8 8z" />);
export const TrashIcon = icon(<path d="M3.75 5.5h12.5M8 5.25V3.5h4v1.75M5.25 5.5 6 16.5h8l.75-11M8.5 8.75v4.5M11.5 8.75v4.5" />);
export const SmileIcon = icon(
  <>
    <circle cx="10" cy="10" r="7" />
    <path d="M7 11.75c.7 1.1 1.7 1.65 3 1.65s2.3-.55 3-1.65M7.5 8v.01M12.5 8v.01" />
  </>,
);
export const InfoIcon = icon(
  <>
    <circle cx="10" cy="10" r="7" />
    <path d="M10 9.25v4M10 6.6v.01" />
  </>,
);
export const WarningIcon = icon(<path d="M10 3.25 17.5 16.25h-15zM10 8v3.75M10 13.9v.01" />);
export const BlockIcon = icon(
  <>
    <circle cx="10" cy="10" r="7" />
    <path d="m5.2 5.2 9.6 9.6" />
  </>,
);
export const SignOutIcon = icon(<path d="M8 3.5H5A1.5 1.5 0 0 0 3.5 5v10A1.5 1.5 0 0 0 5 16.5h3M12.5 6.5 16 10l-3.5 3.5M16 10H8" />);
export const DownloadIcon = icon(<path d="M10 3.5v9M6.5 9.25 10 12.75l3.5-3.5M3.75 16.25h12.5" />);
export const ClockIcon = icon(
  <>
    <circle cx="10" cy="10" r="7" />
    <path d="M10 6v4.25l2.75 1.5" />
  </>,
);
export const DeviceIcon = icon(
  <>
    <rect x="3.25" y="4" width="13.5" height="9" rx="1.5" />
    <path d="M7 16.5h6M10 13v3.5" />
  </>,
);
export const ArrowDownIcon = icon(<path d="M10 4v12M5 11l5 5 5-5" />);

/** The mark: two rings that hold each other. */
export const Mark = ({ size = 40 }: { size?: number }) => (
  <svg width={size} height={(size * 2) / 3} viewBox="2.4 1.2 31.2 21.6" fill="none" strokeWidth={3.2} aria-hidden>
    <circle cx="13" cy="12" r="9" stroke="var(--accent)" />
    <circle cx="23" cy="12" r="9" stroke="var(--warm)" />
  </svg>
);
