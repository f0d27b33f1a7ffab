# makepkg tidies a package with this before anything else: one hierarchy. Builds install below /usr, as most of them are
# used to; in the installed system /usr is a symbolic link to the root, lib64 to lib and sbin to bin. A package must own
# the real names, or pacman would find two packages' files behind one path.
# shellcheck shell=bash

[[ -n "$LIBMAKEPKG_TIDY_FOLD_SH" ]] && return
LIBMAKEPKG_TIDY_FOLD_SH=1

packaging_options+=('fold')
tidy_remove+=('tidy_fold')

# Move everything in folder $1 to folder $2, merging folders that both have.
fold_folder() {
	local from=$1 to=$2 entry target
	mkdir -p "$to"
	while IFS= read -rd '' entry; do
		target=$to/${entry##*/}
		if [[ -d $entry && ! -L $entry && -d $target && ! -L $target ]]; then
			fold_folder "$entry" "$target"
		elif [[ -e $target || -L $target ]]; then
			error "$(gettext "%s and %s would be one file.")" "$entry" "$target"
			exit 1
		else
			mv -- "$entry" "$target"
		fi
	done < <(find "$from" -mindepth 1 -maxdepth 1 -print0)
	rmdir "$from"
}

tidy_fold() {
	# base-layout, which owns the links themselves, says options=(!fold).
	check_option "fold" "n" && return
	local folder
	msg2 "$(gettext "Folding %s into one hierarchy...")" "usr, lib64, sbin"
	[[ -d usr && ! -L usr ]] && fold_folder usr .
	for folder in lib64:lib sbin:bin; do
		[[ -d ${folder%:*} && ! -L ${folder%:*} ]] && fold_folder "${folder%:*}" "${folder#*:}"
	done
	for folder in usr lib64 sbin; do
		if [[ -L $folder ]]; then
			error "$(gettext "The link %s belongs to base-layout.")" "$folder"
			exit 1
		fi
	done
	return 0
}
