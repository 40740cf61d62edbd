<?php
// Runs program.php in the global scope and says the nonce behind it.
final class FimbleLauncher
{
    private static string $nonce = '';

    public static function begin(): string
    {
        self::$nonce = trim((string) fgets(STDIN));
        $text = file_get_contents('program.php');
        unlink('program.php'); // the tests stand in it
        return $text;
    }

    public static function end(): void
    {
        // Only the last line of this file may ask for it.
        $callers = debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS);
        if (count($callers) !== 1 || $callers[0]['file'] !== __FILE__) {
            exit(1);
        }
        if (ini_get('zend.assertions') !== '1' || ini_get('assert.exception') !== '1') {
            fwrite(STDERR, "the program turns assertions off\n");
            exit(1);
        }
        while (ob_get_level() > 0) {
            ob_end_flush();
        }
        fwrite(STDOUT, "\n" . self::$nonce . "\n");
    }
}
try {
    eval('?>' . FimbleLauncher::begin());
} catch (ParseError $error) {
    fwrite(STDERR, "PHP Parse error: {$error->getMessage()} on line {$error->getLine()}\n");
    exit(65);
}
FimbleLauncher::end();
