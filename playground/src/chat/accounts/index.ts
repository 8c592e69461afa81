export { ResetPasswordPage } from './ResetPasswordPage';
export { SettingsPage } from './SettingsPage';
export { SignInForms } from './SignInForms';
export { SignInPage } from './SignInPage';
export { VerifyEmailPage } from './VerifyEmailPage';
