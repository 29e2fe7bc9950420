import './transport';
import './golevelup';
import { runChecks } from './harness';

// A rejection that nobody takes is a failure of the framework's on this broker.
runChecks(process.argv.slice(2)).then(() => process.exit(0));
