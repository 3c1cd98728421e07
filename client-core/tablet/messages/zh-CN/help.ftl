help-about = 阡陌：没有网络也能写的工作记录。写在本机，有网时用 qianmo sync 送到管理端。
help-examples =
    例子：
      qianmo enroll QM1-…            用管理员给的登记票登记这台设备（只需一次）
      qianmo new visit               写一条走访记录，逐项提问，随时可存草稿
      qianmo list                    看本机的记录和它们在哪里
      qianmo show 1a2b3c4d           看一条记录：内容、审核、冲突、历史
      qianmo sync                    和管理端同步

    编号可以只写开头几位（至少4位）。

    数据文件夹：--data，其次环境变量 QIANMO_DATA，其次 ~/.local/share/qianmo（Windows 为 %APPDATA%\qianmo）。
    语言：--lang，其次 LC_ALL、LC_MESSAGES、LANG（zh 开头为中文）。

    退出码：
      0  完成
      1  本机出错：存储、文件，或没有这条记录
      2  命令没看懂
      3  设备还没有登记
      4  连不上管理端；已存的都在，稍后再同步
      5  表单或管理端不接受
help-heading-usage = 用法：
help-heading-commands = 命令
help-heading-arguments = 参数
help-heading-options = 选项

help-data = 数据文件夹；同一时间只能有一个程序使用
help-lang = 语言：zh 或 en
help-verbose = 多说一些运行细节（-vv 更多），写到标准错误
help-help = 显示帮助
help-version = 显示版本

help-any-json = 以 JSON 输出，给程序用
help-any-record = 记录编号，或它的开头（至少4位）
help-any-set = 给一项赋值，可以重复；项目可写名称或标签，例如 --set 服务方式=现场
help-any-station = 工作站编号
help-any-month = 月份，例如 2025-06
help-any-form = 表单名称或标签，例如 visit 或 走访巡田
help-any-id = 草稿编号，或它的开头（至少4位）
help-any-at = 您看到的版本（show --json 里的 version）；改动写在这个版本上

help-ui = 打开平板页面：在浏览器里记录、查看、同步，只有本机能打开
help-ui-port = 用哪个端口；不写则由系统选
help-ui-no-open = 不自动打开浏览器，只给出地址
help-ui-examples =
    例子：
      qianmo ui
      qianmo ui --port 7440 --no-open

    页面地址每次启动都不同，只给本机用。Ctrl-C 结束，已存的都在。

help-enroll = 用登记票把这台设备登记到本单位
help-enroll-ticket = 管理员给的登记票；写 - 则从输入读取，不留在命令历史里
help-enroll-label = 这台设备叫什么，例如“三号平板”；不写则用机器名
help-enroll-examples =
    例子：
      qianmo enroll QM1-…
      qianmo enroll - --label 三号平板

    登记需要网络，只需一次。登记票只能用一次，过期请管理员重新生成；没连上时同一张票可以再试。

help-new = 写一条新记录
help-new-form = 表单名称或标签；不写则列出所有表单
help-new-draft = 只存草稿，不提交
help-new-station = 记在哪个工作站；不写则为本设备的
help-new-person = 谁写的（编号）；不写则为本设备当前使用人
help-new-month = 记入哪个月的日志，补录用；不写则为本月
help-new-examples =
    例子：
      qianmo new visit
      qianmo new 走访巡田 --draft
      qianmo new visit --set service_mode=现场 --set target_name=张庄 --set town_code=110117105 --set content=查看套袋，梨小零星

    逐项提问时：回车跳过选填项；:save 存草稿离开，:back 回上一项，:help 看其他。
    每答一项都已存盘，断电也不丢。用了 --set 就不再提问：日期默认今天，记录人默认本机使用人。

help-drafts = 列出草稿；草稿只在本机，不会上传
help-drafts-examples =
    例子：
      qianmo drafts
      qianmo drafts resume 9f3c
      qianmo drafts discard 9f3c
help-drafts-resume = 接着写一份草稿
help-drafts-resume-examples =
    例子：
      qianmo drafts resume 9f3c
help-drafts-discard = 删掉一份草稿
help-drafts-discard-examples =
    例子：
      qianmo drafts discard 9f3c

help-edit = 修改一条记录
help-edit-examples =
    例子：
      qianmo edit 1a2b3c4d
      qianmo edit 1a2b3c4d --set 满意度=5 --set follow_up_on=2025-06-25

    不用 --set 就逐项提问，方括号里是现在的内容，回车保留。
    改动写在您看到的版本上：别人同时改了同一项，两个值都保留为冲突，不会互相覆盖。
    被退回的记录修改后自动重新提交。

help-list = 列出本机的记录，新的在前
help-list-state = 只看一种状态：waiting 待上传、held 被隔离、conflict 冲突、unsubmitted 未提交、pending 待审核、approved 已通过、returned 退回、withdrawn 已撤销、disagreed 意见不一致
help-list-limit = 最多列几条
help-list-examples =
    例子：
      qianmo list
      qianmo list --state 退回
      qianmo list --month 2025-06 --form visit --json

help-show = 看一条记录的全部：内容、在哪里、审核意见、冲突、历史
help-show-examples =
    例子：
      qianmo show 1a2b3c4d
      qianmo show 1a2b3c4d --json

help-resolve = 解决冲突：决定留哪个值
help-resolve-field = 有冲突的项目（名称或标签）；只有一处冲突时可不写
help-resolve-keep = 留第几个值
help-resolve-value = 都不留，改成这个值
help-resolve-examples =
    例子：
      qianmo resolve 1a2b3c4d
      qianmo resolve 1a2b3c4d content --keep 2
      qianmo resolve 1a2b3c4d 查看面积 --value 3.5

    不写 --keep 或 --value 时只列出各个值。没有留下的值仍在历史里。

help-review = 审核：看待审队列，通过、退回、重新打开；也可提交、撤销、留言
help-review-limit = 最多列几条
help-review-examples =
    例子：
      qianmo review                                   待审队列，先来的在前
      qianmo review approve 1a2b3c4d 5e6f7a8b
      qianmo review approve --all --month 2025-06     先列出；加 --yes 才通过
      qianmo review return 1a2b3c4d --reason no_detail --note 请写明地块

    决定只对您看到的版本有效。之后又改了，会显示“批后改动”，请再看一次。
help-review-approve = 通过：一条、几条，或 --all 全部没有冲突的待审记录
help-review-approve-records = 记录编号，可以几个
help-review-approve-all = 所有待审且没有冲突的记录（可配合 --station --month --form）
help-review-approve-yes = 真的通过；不写则只列出
help-review-approve-examples =
    例子：
      qianmo review approve 1a2b3c4d
      qianmo review approve --all --station ST01 --month 2025-06 --yes
help-review-return = 退回，说明原因
help-review-return-reason = 退回原因的代码或文字，可以重复；qianmo review reasons 列出全部
help-review-return-examples =
    例子：
      qianmo review return 1a2b3c4d --reason no_detail
      qianmo review return 1a2b3c4d --reason area_suspect --field area_mu=请核实亩数
help-review-reopen = 撤回重审：把已决定的记录重新打开
help-review-reopen-examples =
    例子：
      qianmo review reopen 1a2b3c4d --note 数据有误
help-review-submit = 提交给协调员审核
help-review-submit-examples =
    例子：
      qianmo review submit 1a2b3c4d
help-review-withdraw = 撤销：不再显示和统计，历史仍在
help-review-withdraw-reason = 原因代码，例如 duplicate
help-review-withdraw-examples =
    例子：
      qianmo review withdraw 1a2b3c4d --reason duplicate
help-review-comment = 留言，不改变审核状态
help-review-comment-text = 留言内容
help-review-comment-examples =
    例子：
      qianmo review comment 1a2b3c4d 套袋时间再核对一下
      qianmo review comment 1a2b3c4d --field advice=请补充
help-review-reasons = 列出退回原因
help-review-reasons-examples =
    例子：
      qianmo review reasons
help-any-note = 附言
help-any-field = 对某一项的意见，可以重复，例如 --field 服务内容=请写明地块

help-sync = 和管理端同步：送出待上传的，取回新的
help-sync-watch = 一直连着，有新内容就说；Ctrl-C 结束
help-sync-timeout = 最多等多少秒（不写则60秒；--watch 时不限）
help-sync-examples =
    例子：
      qianmo sync
      qianmo sync --timeout 300
      qianmo sync --watch

    没连上也不要紧：已存的都在本机，下次接着送，不会重复。

help-status = 这台设备是谁的、还有什么没送到、有没有问题
help-status-examples =
    例子：
      qianmo status
      qianmo status --json

help-bundle = 没有网络时，用文件代替同步
help-bundle-examples =
    例子：
      qianmo bundle export --to hub /media/usb/st01.qmb
      qianmo bundle import /media/usb/st02.qmb
help-bundle-export = 导出成文件：给管理端的只有管理端能打开；给平板的用屏幕上显示的口令打开
help-bundle-export-to = 给谁：hub 管理端，tablet 另一台平板
help-bundle-export-what = 带什么：waiting 待上传的，station 本站的全部，everything 本机的全部；不写则给管理端带 waiting，给平板带 station
help-bundle-export-file = 写到哪个文件
help-bundle-export-examples =
    例子：
      qianmo bundle export --to hub /media/usb/st01.qmb
      qianmo bundle export --to tablet /media/usb/st01.qmb
help-bundle-import = 收下另一台平板导出的文件；重复导入无害
help-bundle-import-file = 文件
help-bundle-import-passphrase = 导出时显示的口令；不写则询问
help-bundle-import-examples =
    例子：
      qianmo bundle import /media/usb/st01.qmb

help-evict = 清出本机空间：移走以前的月份，随时可取回
help-evict-logbooks = 日志本，如 ST01/2025-06；管理端和它的备份里都有的才会移走
help-evict-before = 早于这个月份的全部日志本
help-evict-list = 列出已移走的日志本
help-evict-examples =
    示例：
      qianmo evict ST01/2025-06
      qianmo evict --before 2025-01
      qianmo evict --list
help-bring-back = 取回移走的日志本：下次同步时整本取回
help-bring-back-logbooks = 日志本，见 qianmo evict --list
help-bring-back-examples =
    示例：
      qianmo bring-back ST01/2025-06

help-export = 把记录导出为文件
help-export-to = 写到这个文件；不写则输出到标准输出
help-export-format = json 或 csv；不写则看文件名，默认 json
help-export-with-personal = 包括个人信息（姓名、电话、精确位置）；不写则不导出
help-export-examples =
    例子：
      qianmo export --to 六月.csv --month 2025-06
      qianmo export --format json --form visit

    CSV 可直接用表格软件打开；像公式的文字前面会加撇号，不会被执行。

help-forms = 看有哪些表单、各问什么；检查写好的表单文件
help-forms-with = 本单位自己的表单文件夹；不写则为 QIANMO_FORMS，其次数据文件夹里的 forms
help-forms-examples =
    例子：
      qianmo forms                            列出表单和项数
      qianmo forms show demo                  一张表单的全部项目和规则，中英文都有
      qianmo forms check 测土.toml            检查别人写的表单，说明每一处错误
      qianmo forms check /etc/qianmo/forms    检查整个文件夹：表单、lists、overlays

    不需要登记，也不打开本机数据。表单怎么写：docs/forms.md。
help-forms-show = 看一张表单的全部项目、类型和规则
help-forms-show-examples =
    例子：
      qianmo forms show visit
      qianmo forms show 示范推广 --json
help-forms-check = 检查表单、列表和调整文件，说明每一处错误和怎么改
help-forms-check-files = 要检查的文件或文件夹；可以写几个，列表和用它的表单一起检查
help-forms-check-examples =
    例子：
      qianmo forms check 测土.toml lists/土质.toml
      qianmo forms check /etc/qianmo/forms --json

    有错误时退出码为5。
