# Runs program.pl and says the nonce behind it.
# Compiled before any variable of ours is declared: the program sees none of them.
sub Fimble::Launcher::run { no strict; no warnings; eval "package main;\n#line 1 \"program.pl\"\n$_[0]"; }

{
    my $nonce = <STDIN>;
    chomp $nonce;
    my $text = do { local ( @ARGV, $/ ) = ('program.pl'); <> };
    unlink 'program.pl';    # the tests stand in it
    # The very functions of modules by which tests compare.
    my %compares = ( 'Data::Compare' => 'Compare', 'Test::Deep' => 'eq_deeply' );
    my %known;
    for my $module ( @ARGV ) {
        ( my $file = "$module.pm" ) =~ s{::}{/}g;
        require $file;
        no strict 'refs';
        $known{$module} = \&{"${module}::$compares{$module}"};
    }
    Fimble::Launcher::run($text);
    if ( my $error = $@ ) {
        print STDERR $error;
        my $is_syntax = $error =~ /syntax error|compilation (?:errors|aborted)|Missing right curly|Can't find string terminator|Unmatched right/;
        exit( $is_syntax ? 65 : 1 );
    }
    my @overridden = grep { defined &{"CORE::GLOBAL::$_"} } qw(die exit eq print);
    for my $module ( keys %known ) {
        my $name = $compares{$module};
        no strict 'refs';
        push @overridden, $name
          if $known{$module} != \&{"${module}::$name"}
          || ( defined &{"main::$name"} && $known{$module} != \&{"main::$name"} );
    }
    if (@overridden) {
        print STDERR "the program replaces @overridden\n";
        exit 1;
    }
    $| = 1;
    syswrite STDOUT, "\n$nonce\n";
}
