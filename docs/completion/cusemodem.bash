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
        --config)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return ;;
        --lost)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return ;;
        --modulation)
            mapfile -t COMPREPLY < <(compgen -W 'v21 v27ter v29' -- "$current")
            return ;;
        --rate)
            mapfile -t COMPREPLY < <(compgen -W '300 2400 4800 7200 9600' -- "$current")
            return ;;
        --listen | --peer | --loss | --duplicate | --reorder | --jitter-ms | --seed | --level-dbm0)
            return ;;
    esac

    local options
    case $command in
        '') options='-F -V --config --help --pty --version' ;;
        check) options='--config --help' ;;
        compile) options='--help' ;;
        exchange) options='--duplicate --help --jitter-ms --listen --loss --peer --reorder --seed' ;;
        tx) options='--help --level-dbm0 --modulation --rate' ;;
        rx) options='--help --lost --modulation --rate' ;;
        *) options='--config --help --pty' ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ $command == check ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    elif [[ -z $command || $command == run ]]; then
        local words='' file
        [[ -n $command ]] || words='check compile exchange run rx tx'
        for file in "$directory"/*[!~]; do
            [[ -f $file ]] && words+=" ${file##*/}"
        done
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    fi
}

complete -F _cusemodem cusemodem
