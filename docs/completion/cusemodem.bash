# bash completion for cusemodem(1)

_cusemodem() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local directory=/etc/cusemodem command='' words='' list='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --config) directory=${COMP_WORDS[++i]} ;;
            -*) ;;
            *) command=${command:-${COMP_WORDS[i]}} ;;
        esac
    done

    COMPREPLY=()
    case $previous in
        --config | --into | --state)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return ;;
        --control | --lost | --lost-mask | --symbols)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return ;;
        --modulation) words='v17 v21 v27ter v29' ;;
        --rate) words='300 2400 4800 7200 9600 12000 14400' ;;
        --shape) words='bell-3002 g712 loop-loaded loop-long loop-short m1020' ;;
        --codec) words='alaw ulaw' ;;
        --encryption) words='allowed off required' ;;
        --fill) words='repeat silence' ;;
        --codecs)  # a list: what stands before the last comma stays
            [[ $current == *,* ]] && list=${current%,*},
            words="${list}ulaw ${list}alaw ${list}slinear" ;;
        -n | --number | --since | --listen | --peer | --rsa-key | --loss | --duplicate | --reorder | --seed | --*-db | \
            --*-dbm0 | --*-ppm | --*-hz | --*-deg | --*-s | --*-ms | --phase-hit | --slip | --dc | --loss-*)
            return ;;
    esac
    if [[ $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        return
    fi

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
        local file
        [[ -n $command ]] || words='channel check compile config exchange import mount replay report run rx status tx'
        for file in "$directory"/* "$directory"/modems/*; do
            case $file in */cusemodem.conf | *~ | *.dpkg-* | *.ucf-* | *.rpm*) continue ;; esac
            [[ -f $file ]] && words+=" ${file##*/}"
        done
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    fi
}

complete -F _cusemodem cusemodem
