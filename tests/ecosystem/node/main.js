require('./rascal');
require('./moleculer');

require('./harness').runChecks(process.argv.slice(2)).then(() => process.exit(0));
