# bash completion for cusemodem(1)

_cusemodem() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local directory=/etc/cusemodem command='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --config) directory=${COMP_WORDS[++i]} ;;
            -*) ;;
            *) command=${command:-${COMP_WORDS[i]}} ;;
        esac
    done

    COMPREPLY=()
    case $previous in
        --config | --into)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return ;;
        --lost | --lost-mask | --symbols)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return ;;
        --modulation)
            mapfile -t COMPREPLY < <(compgen -W 'v21 v27ter v29' -- "$current")
            return ;;
        --rate)
            mapfile -t COMPREPLY < <(compgen -W '300 2400 4800 7200 9600' -- "$current")
            return ;;
        --shape)
            mapfile -t COMPREPLY < <(compgen -W 'bell-3002 g712 loop-loaded loop-long loop-short m1020' -- "$current")
            return ;;
        --codec)
            mapfile -t COMPREPLY < <(compgen -W 'alaw ulaw' -- "$current")
            return ;;
        --fill)
            mapfile -t COMPREPLY < <(compgen -W 'repeat silence' -- "$current")
            return ;;
        --listen | --peer | --loss | --duplicate | --reorder | --jitter-ms | --seed | --*-db | --*-dbm0 | --*-ppm | \
            --*-hz | --*-deg | --*-s | --echo-ms | --delay-ms | --phase-hit | --slip | --dc | --loss-*)
            return ;;
    esac

    local options
    case $command in
        '') options='-F -V --config --help --pty --version' ;;
        check) options='--config --help' ;;
        channel)
            options='--after-s --before-s --carrier-hz --clock-ppm --codec --dc --delay-ms --echo-db --echo-ms --fill
                --gain-db --help --idle-noise-dbm0 --jitter-deg --jitter-hz --loss --loss-at --loss-every --loss-from
                --lost-mask --noise-dbm0 --phase-hit --seed --shape --signal-dbm0 --slip --snr-db' ;;
        compile) options='--help' ;;
        exchange)
            options='--clock-ppm --codecs --duplicate --encryption --help --jitter-ms --listen --loss --no-call-token
                --peer --reorder --rsa-key --seed --trunk' ;;
        config) options='--config --help --into --number' ;;
        mount) options='--allow-other --config --control --help' ;;
        status) options='--config --control --help --json --watch' ;;
        import) options='--config --help' ;;
        replay) options='--help' ;;
        report) options='--config --help --json --since --state' ;;
        tx) options='--help --level-dbm0 --modulation --rate --short' ;;
        rx) options='--help --lost --modulation --rate --short --symbols' ;;
        *) options='--config --help --pty' ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ $command == check || $command == replay || $command == import || $command == mount ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    elif [[ $command == config && $previous == config ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'asterisk hylafax mgetty' -- "$current")
    elif [[ -z $command || $command == run || $command == report || $command == config ]]; then
        local words='' file
        [[ -n $command ]] || words='channel check compile config exchange import mount replay report run rx status tx'
        for file in "$directory"/*[!~]; do
            [[ -f $file ]] && words+=" ${file##*/}"
        done
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    fi
}

complete -F _cusemodem cusemodem
