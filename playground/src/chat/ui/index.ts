// The kit: what every screen of the chat is made of, over react-aria-components.
import './tokens.css';
import './base.css';

export { Avatar, type AvatarProps } from './Avatar';
export { Badge, CountBadge } from './Badge';
export { Button, ButtonLink, IconButton, type ButtonLinkProps, type ButtonProps, type IconButtonProps, type Kind } from './Button';
export { classes } from './classes';
export { Confirm, Dialog, type ConfirmProps, type DialogProps } from './Dialog';
export { EmptyState, type EmptyStateProps } from './EmptyState';
export { PasswordField, SearchField, TextArea, TextField, type FieldProps, type SearchFieldProps } from './Field';
export { Form, type FormError, type FormProps } from './Form';
export * from './icons';
export { Menu, MenuItem, type MenuItemProps, type MenuProps } from './Menu';
export { Notice, Trouble, type NoticeProps } from './Notice';
export { Pages, type PagesProps } from './Pages';
export { inSentence, refusals } from './refusals';
export { RelativeTime, dayInFull, exactTime } from './RelativeTime';
export { Row, type RowProps } from './Row';
export { Page, Section, type SectionProps } from './Section';
export { Select, type SelectProps } from './Select';
export { Sheet, type SheetProps } from './Sheet';
export { Loading, Skeleton, SkeletonRows, Spinner } from './Spinner';
export { Switch, type SwitchProps } from './Switch';
export { Tabs, type TabsProps } from './Tabs';
export { setTheme, useTheme, type Theme } from './theme';
export { Toasts, toast } from './Toasts';
export { usePages, type Connection, type Paged } from './usePages';
export { inWords, useSubmit, type Refusals } from './useSubmit';
